"""Clusters of several nodes on one machine, with fake GPUs, and with an autoscaler (v2) or not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.cluster_utils import Cluster

from tests.ray.processes import descendants, end, require_gone

_STORE = 78_643_200
"""Bytes of an object store, the least that Ray takes."""

LIGHT: dict[str, Any] = {"object_store_memory": _STORE, "include_log_monitor": False}
"""What a node can do without."""

_HEAD = "ray.head.default"

_AUTOSCALER = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    "RAY_NODE_TYPE_NAME": _HEAD,
}


@contextmanager
def fixed_cluster(nodes: int, **resources: int) -> Iterator[Cluster]:
    """A head that runs no trials, and so many nodes with `num_cpus` and `num_gpus`."""
    head = {"num_cpus": 0, "include_dashboard": False, **LIGHT}
    with _environment():
        cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        with _environment():
            for _ in range(nodes):
                cluster.add_node(wait=False, **resources, **LIGHT)
        cluster.wait_for_nodes(timeout=120)
        yield cluster
    finally:
        cluster.shutdown()


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Variables for the processes of a node; an empty list of GPUs would hide the fake ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@contextmanager
def growing_cluster(folder: Path, resources: dict[str, float], most: int) -> Iterator[str]:
    """A head that runs no trials, and up to `most` nodes with `resources`; yields its address."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    address = f"{ray.util.get_node_ip_address()}:{port}"
    path = folder / "autoscaling.yaml"
    path.write_text(yaml.safe_dump(_configuration(address, resources, most)))
    with _environment(**_AUTOSCALER):
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": _STORE,
                "include_dashboard": False,
                "gcs_server_port": port,
                "autoscaling_config": str(path),
            },
        )
    try:
        yield cluster.address
    finally:
        _end(cluster)


def _configuration(address: str, resources: dict[str, float], most: int) -> dict[str, Any]:
    commands = ("setup", "head_setup", "worker_setup", "initialization")
    starts = ("head_start_ray_commands", "worker_start_ray_commands")
    return {
        "cluster_name": "growing",
        "max_workers": most,
        "upscaling_speed": 10.0,
        "idle_timeout_minutes": 0.05,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "gcs_address": address,
        },
        "head_node_type": _HEAD,
        "available_node_types": {
            _HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu": {
                "resources": {**resources, "object_store_memory": _STORE},
                "node_config": {},
                "min_workers": 0,
                "max_workers": most,
            },
        },
        "auth": {},
        "docker": {},
        "head_node": {},
        "worker_nodes": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "cluster_synced_files": [],
        "rsync_exclude": [],
        "rsync_filter": [],
        **{f"{name}_commands": [] for name in commands},
        **{key: [] for key in starts},
    }


def _end(cluster: Cluster) -> None:
    """Ends the cluster; nodes that its autoscaler started are no children of ours."""
    (monitor,) = cluster.head_node.all_processes["monitor"]
    nodes = descendants(monitor.process.pid)
    cluster.shutdown()
    end(nodes)
    require_gone(nodes)


def node_count(address: str) -> int:
    """Nodes of a cluster that are alive, its head among them."""
    status = get_cluster_status(address)
    return len(status.active_nodes) + len(status.idle_nodes)


@dataclass
class Watch:
    """Counts a cluster's nodes twice a second, until the block ends.

    Attributes:
        counts: Unix time and number of nodes, oldest first.
    """

    address: str
    counts: list[tuple[float, int]] = field(default_factory=list)

    def __enter__(self) -> Watch:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _count(self) -> None:
        while not self._over.wait(0.5):
            self.counts.append((time.time(), node_count(self.address)))


def until(address: str, nodes: int, patience: float = 90) -> int:
    """Waits until a cluster has so many nodes; returns how many it has."""
    deadline = time.monotonic() + patience
    while (found := node_count(address)) != nodes and time.monotonic() < deadline:
        time.sleep(0.5)
    return found
