"""Nodes that come with a round and go as the rounds need fewer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoshrink_ray import Run
from tests.plugins.gated import Gate
from tests.ray.driver import alive, finished, searching
from tests.ray.growing import Watch, growing_cluster, until

pytestmark = pytest.mark.ray

WORKERS = 3


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head and, once asked for, up to three nodes of one CPU and one GPU."""
    folder = tmp_path_factory.mktemp("cluster")
    with growing_cluster(folder, {"CPU": 1, "GPU": 1}, most=WORKERS) as found:
        yield found


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture
def settings(tmp_path: Path, gate: Gate) -> dict[str, Any]:
    """Two rounds: of three candidates, and of two, of which one is known already."""
    return {
        "space": "gated",
        "plugins": ["tests.plugins.gated"],
        "storage": str(tmp_path / "runs"),
        "nodes": 3,
        "candidates": 3,
        "keep_fraction": 0.34,
        "gpus_per_trial": 1,
        "tensorboard": "off",
        "proxy": {"folder": str(gate.folder)},
    }


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"gpus_per_trial": 2}, "1 CPUs and 2 GPUs, and no node of the cluster has or could"),
        ({"cpus_per_trial": 2}, "2 CPUs and 1 GPUs, and no node of the cluster has or could"),
    ],
)
def test_a_trial_that_no_type_of_node_can_hold_is_refused_before_the_start(
    address: str, tmp_path: Path, settings: dict[str, Any], asked: dict[str, int], message: str
) -> None:
    with searching(address, tmp_path, settings | asked) as process:
        told = " ".join(finished(process, code=2).split())
    assert message in told
    assert not Path(settings["storage"], "spot", "run.yaml").exists()


def test_nodes_come_with_the_round_and_go_as_the_rounds_need_fewer(
    address: str, tmp_path: Path, settings: dict[str, Any], gate: Gate
) -> None:
    """From no worker at all to one a candidate, to one for the last round, to none."""
    assert until(address, 1) == 1
    with Watch(address) as watch, searching(address, tmp_path, settings) as process:
        first = gate.wait_for(WORKERS, alive(process))
        assert len({place["node"] for place in first.values()}) == WORKERS
        gate.let_go(first)
        gate.wait_for(1, alive(process))
        assert until(address, 2) == 2, "a node that no later round can use is kept"
        assert process.poll() is None
        gate.open()
        finished(process)
        assert until(address, 1) == 1, "a node outlives the run"
    run = Run("spot", settings["storage"])
    assert [len(search.rounds) for search in run.searches] == [2]
    assert max(count for _, count in watch.counts) == 1 + WORKERS
