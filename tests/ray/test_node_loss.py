"""Nodes that go away under a run: abruptly, and as Ray was told that they would."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from autoshrink_ray import Decision, Run, SearchConfig, run_search

pytestmark = pytest.mark.ray

DEADLINE = 2.0
"""Seconds from the notice of a preemption to the node's end."""


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    """A head that runs no trials and two workers, apart from the cluster of the other tests."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "space": "table",
        "plugins": ["tests.plugins.table"],
        "storage": str(tmp_path / "runs"),
        "nodes": 5,
        "candidates": 3,
        "proxy": {"seconds": 0.5},
    }


def expected(settings: dict[str, Any]) -> list[Decision]:
    config = SearchConfig.of({**settings, "proxy": {}})
    return decisions(run_search(config, executor="in-process"))


def decisions(run: Run) -> list[Decision]:
    return list(run.ledger.decisions.values())


@contextmanager
def searching(cluster: Cluster, folder: Path, settings: dict[str, Any]) -> Iterator[Any]:
    """The command as a process of its own, with its progress to read."""
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    entry = [sys.executable, "-c", "from launch.cli import main; main()", "search", "run.yaml"]
    options = ["--name", "spot", "--address", cluster.address, "--json-progress"]
    process = subprocess.Popen(
        [*entry, *options], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def evaluations(process: Any) -> Iterator[dict[str, Any]]:
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "evaluation":
            yield event


def finished(process: Any) -> None:
    _, errors = process.communicate(timeout=120)  # Ray's own lines on the node, too
    assert process.returncode == 0, errors


def test_a_node_that_vanishes_in_the_middle_of_a_round_changes_no_decision(
    nodes: Cluster, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """It costs no retry of a worker: nodes have a budget of their own."""
    victim = nodes.add_node(num_cpus=1)
    with searching(nodes, tmp_path, settings | {"max_retries": 0}) as process:
        seen = evaluations(process)
        for _ in range(4):  # the second round is under way on three nodes
            next(seen)
        nodes.remove_node(victim, allow_graceful=False)
        finished(process)
    run = Run("spot", settings["storage"])
    assert [d.topology for d in decisions(run)] == [d.topology for d in expected(settings)]


def test_a_preemption_that_was_announced_is_free(
    nodes: Cluster, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Neither budget allows a loss."""
    victim = nodes.add_node(num_cpus=1)
    slow = settings | {"max_retries": 0, "max_node_losses": 0, "proxy": {"seconds": 2 * DEADLINE}}
    slow |= {"keep_fraction": 0.6}
    with searching(nodes, tmp_path, slow) as process:
        next(evaluations(process))  # three trials are out, the second round's
        end = time.time() + DEADLINE
        client = GcsClient(address=nodes.address)
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        accepted, message = client.drain_node(victim.node_id, reason, "spot", int(end * 1000))
        assert accepted, message
        time.sleep(max(0.0, end - time.time()) + 0.5)
        nodes.remove_node(victim, allow_graceful=False)
        finished(process)
    run = Run("spot", settings["storage"])
    found = [d.topology for d in decisions(run)]
    assert found == [d.topology for d in expected(settings | {"keep_fraction": 0.6})]
    attempts = [e.attempts for e in run.ledger.evaluations.values()]
    assert max(attempts) == 2, "nothing was lost with the node"
