"""What a cluster's autoscaler could start: asked by a demand that it has to judge.

Ray's autoscaler v2 tells nobody which types of nodes it has. It does tell which of the demands that
wait for resources no node, present or future, could take. So a placement group of a trial's shape
waits for a moment and is removed again. Without an autoscaler nothing can be started; the older
autoscaler, v1, cannot be asked.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import ray

Answer = Literal["could start", "could not", "no autoscaler", "cannot be asked", "no answer"]
"""What is known of a node for a demand.

`cannot be asked` is autoscaler v1; `no answer` an autoscaler v2 that did not judge in time.
"""

PATIENCE = 30.0
"""Seconds in which an autoscaler judges a demand; by default it looks every five."""

_PAUSE = 0.2

_TIMEOUT = 10
"""Seconds in which the head node answers a question."""

_V1_STATUS = b"__autoscaling_status"

_SINGLE_NODE = re.compile(r"node_[0-9a-f]{56}")


def may_grow() -> bool:
    """Whether the cluster has an autoscaler that may add nodes to it."""
    return _version() is not None


def could_start(bundle: Mapping[str, float], count: int = 1, patience: float = PATIENCE) -> Answer:
    """Whether the autoscaler could start nodes for a demand that the present ones have no room for.

    A node that is started for it is used by the trials that follow, or goes when it was idle for
    as long as the cluster is told to wait. Where all nodes that the cluster may have exist already,
    nothing more can be started.

    Args:
        bundle: Resources by Ray's names, all on one node.
        count: How many such bundles there have to be at once.
        patience: Seconds to wait for an answer.
    """
    try:
        version = _version()
        if version == "v2":
            return asked([bundle] * count, time.monotonic() + patience)
    except (ray.exceptions.RayError, RuntimeError, OSError):
        return "no answer"
    return "no autoscaler" if version is None else "cannot be asked"


def asked(bundles: Sequence[Mapping[str, float]], deadline: float) -> Answer:
    """The judgement of autoscaler v2; `no answer` from `deadline` on, on the monotonic clock."""
    group = ray.util.placement_group([dict(bundle) for bundle in bundles])
    try:
        return _judged(group, deadline)
    finally:
        ray.util.remove_placement_group(group)


def _judged(group: Any, deadline: float) -> Answer:
    """Waits for a state of the autoscaler that is younger than the demand."""
    demand, seen = group.id.hex(), None
    while time.monotonic() < deadline:
        if group.wait(_PAUSE):
            return "could start"
        status = _status()
        cluster, judged = status.cluster_resource_state, status.autoscaling_state
        if _names(judged.infeasible_gang_resource_requests, demand):
            return "could not"
        if seen is None and _names(cluster.pending_gang_resource_requests, demand):
            seen = cluster.cluster_resource_state_version
        if seen is not None and judged.last_seen_cluster_resource_state_version > seen:
            return "could start"
    return "no answer"


def _names(requests: Iterable[Any], demand: str) -> bool:
    return any(demand in request.details for request in requests)


def _version() -> Literal["v1", "v2"] | None:
    """Which autoscaler the cluster has that could start nodes; None for none."""
    client = _client()
    enabled = client.internal_kv_get(
        ray._raylet.GCS_AUTOSCALER_V2_ENABLED_KEY.encode(),
        namespace=ray._raylet.GCS_AUTOSCALER_STATE_NAMESPACE.encode(),
        timeout=_TIMEOUT,
    )
    if enabled == b"1":
        return "v2"
    status = client.internal_kv_get(_V1_STATUS, None, timeout=_TIMEOUT)
    return "v1" if has_node_types(status) else None


def has_node_types(status: bytes | None) -> bool:
    """Whether a status of autoscaler v1 speaks of node types, of which it could start more.

    Each cluster has such an autoscaler. Where it was given nothing to start, it calls every node a
    type of its own.
    """
    report = json.loads(status).get("autoscaler_report") if status else None
    types = (report or {}).get("active_nodes", {})
    return any(not _SINGLE_NODE.fullmatch(name) for name in types)


def _status() -> Any:
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply

    reply = GetClusterStatusReply()
    reply.ParseFromString(_client().get_cluster_status(timeout_s=_TIMEOUT))
    return reply


def _client() -> Any:
    return ray._raylet.GcsClient(address=ray.get_runtime_context().gcs_address)
