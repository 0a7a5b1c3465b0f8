"""Nodes that go away under a run: abruptly, and as Ray was told that they would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from autoshrink_ray import Decision, Run, SearchConfig, run_search
from tests.plugins.gated import Gate
from tests.ray.driver import alive, finished, searching
from tests.ray.growing import LIGHT, fixed_cluster
from tests.ray.processes import require_gone

pytestmark = pytest.mark.ray

DEADLINE = 2.0
"""Seconds from the notice of a preemption to the node's end."""

WORKERS = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that runs no trials and two workers, apart from the cluster of the other tests."""
    with fixed_cluster(WORKERS - 1, num_cpus=1) as started:
        yield started


@pytest.fixture
def victim(cluster: Cluster) -> Any:
    """The third worker."""
    node = cluster.add_node(wait=False, num_cpus=1, **LIGHT)
    cluster.wait_for_nodes(timeout=120)
    return node


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture
def settings(tmp_path: Path, gate: Gate) -> dict[str, Any]:
    return {
        "space": "gated",
        "plugins": ["tests.plugins.gated", "tests.plugins.table"],
        "storage": str(tmp_path / "runs"),
        "nodes": 4,
        "candidates": WORKERS,
        "max_retries": 0,
        "tensorboard": "off",
        "proxy": {"folder": str(gate.folder)},
    }


each_granularity = pytest.mark.parametrize(
    "granularity",
    [{"granularity": "candidate"}, {"granularity": "search", "searches": WORKERS}],
    ids=["candidate", "search"],
)


def decided(run: Run) -> list[Decision]:
    return sorted(run.ledger.decisions.values(), key=lambda d: (d.search, d.round))


def expected(settings: dict[str, Any]) -> list[Decision]:
    """What is decided where nothing goes away."""
    changes = {"space": "table", "granularity": "candidate", "proxy": {}, "executor": "in-process"}
    return decided(run_search(SearchConfig.of({**settings, **changes})))


def require_one_loss(settings: dict[str, Any]) -> None:
    """The run's answer is right, and one training, no more, was made twice."""
    run = Run("spot", settings["storage"])
    assert [d.topology for d in decided(run)] == [d.topology for d in expected(settings)]
    attempts = sorted(e.attempts for e in run.ledger.evaluations.values())
    assert attempts[-2:] == [1, 2]


@each_granularity
def test_a_node_that_vanishes_in_the_middle_of_a_round_changes_no_decision(
    cluster: Cluster,
    victim: Any,
    tmp_path: Path,
    settings: dict[str, Any],
    gate: Gate,
    granularity: dict[str, Any],
) -> None:
    """It costs no retry of a worker: nodes have a budget of their own."""
    settings |= granularity
    with searching(cluster.address, tmp_path, settings) as process:
        held = gate.wait_for(WORKERS, alive(process))
        lost = [name for name, place in held.items() if place["node"] == victim.node_id]
        assert len(lost) == 1
        workers = [held[name]["pid"] for name in lost]
        gate.let_go(set(held) - set(lost))
        cluster.remove_node(victim, allow_graceful=False)
        require_gone(workers)  # they outlive their node for a moment
        gate.open()
        finished(process)
    require_one_loss(settings)


@each_granularity
def test_a_preemption_that_was_announced_is_free(
    cluster: Cluster,
    victim: Any,
    tmp_path: Path,
    settings: dict[str, Any],
    gate: Gate,
    granularity: dict[str, Any],
) -> None:
    """Neither budget allows a loss."""
    settings |= granularity | {"max_node_losses": 0}
    with searching(cluster.address, tmp_path, settings) as process:
        held = gate.wait_for(WORKERS, alive(process))
        workers = [place["pid"] for place in held.values() if place["node"] == victim.node_id]
        assert len(workers) == 1
        end = time.time() + DEADLINE
        client = GcsClient(address=cluster.address)
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
        accepted, message = client.drain_node(victim.node_id, reason, "spot", int(end * 1000))
        assert accepted, message
        time.sleep(max(0.0, end - time.time()) + 0.5)
        cluster.remove_node(victim, allow_graceful=False)
        require_gone(workers)  # they outlive their node for a moment
        gate.open()
        finished(process)
    require_one_loss(settings)
