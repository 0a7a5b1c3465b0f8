"""Eight nodes, and as many candidates at once as they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from autoshrink_ray import Run
from autoshrink_ray.analysis import cost_account
from tests.plugins.gated import Gate
from tests.ray.driver import alive, finished, searching
from tests.ray.growing import fixed_cluster

pytestmark = pytest.mark.ray

NODES, EACH = 8, 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that runs no trials and eight nodes with a fake GPU each."""
    with fixed_cluster(NODES, num_cpus=EACH, num_gpus=1) as started:
        yield started


@pytest.mark.timeout(900)
def test_all_candidates_of_a_round_run_at_once_and_fill_every_gpu(
    cluster: Cluster, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    gate = Gate(tmp_path / "gate")
    settings = {
        "space": "gated",
        "plugins": ["tests.plugins.gated"],
        "storage": str(tmp_path / "runs"),
        "nodes": 10,
        "algorithm": "random",
        "budget": NODES * EACH,
        "cpus_per_trial": 1,
        "gpus_per_trial": 1 / EACH,
        "tensorboard": "off",
        "proxy": {"folder": str(gate.folder), "seconds": 2},
    }
    with searching(cluster.address, tmp_path, settings) as process:
        held = gate.wait_for(NODES * EACH, alive(process))
        taken = Counter((place["node"], *place["gpus"]) for place in held.values())
        assert list(taken.values()) == [EACH] * NODES
        gate.open()
        finished(process)
    run = Run("spot", settings["storage"])
    assert len(run.ledger.evaluations) == NODES * EACH
    cost = cost_account(run)
    trained = run.ledger.evaluations.values()
    busy = sum(e.ended - e.started for e in trained)
    window = max(e.ended for e in trained) - min(e.started for e in trained)
    record_property("seconds from the first hand-out to the last end", round(cost.wall_seconds, 1))
    record_property("utilisation with the start of processes", _share(busy, cost.wall_seconds))
    record_property("utilisation from the first training on", _share(busy, window))


def _share(busy: float, seconds: float) -> float:
    """Part of all workers' time in which they train."""
    return round(busy / (NODES * EACH * seconds), 3)
