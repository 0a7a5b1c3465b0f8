"""Eight nodes, and as many candidates at once as they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from autoshrink_ray import Run
from autoshrink_ray.analysis import cost_account
from tests.plugins.gated import Gate
from tests.ray.driver import alive, finished, searching

pytestmark = pytest.mark.ray

NODES, EACH = 8, 4

STORE = 78_643_200
"""Bytes of an object store, the least that Ray takes."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that runs no trials and eight nodes with a fake GPU each."""
    light = {"object_store_memory": STORE, "include_log_monitor": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)  # would hide the fake GPUs
        head = {"num_cpus": 0, "include_dashboard": False, **light}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(NODES):
            cluster.add_node(wait=False, num_cpus=EACH, num_gpus=1, **light)
        cluster.wait_for_nodes(timeout=120)
    yield cluster
    cluster.shutdown()


def test_all_candidates_of_a_round_run_at_once_and_fill_every_gpu(
    cluster: Cluster, tmp_path: Path, record_property: pytest.FixtureRequest
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
        "proxy": {"folder": str(gate.folder), "seconds": 5},
    }
    with searching(cluster.address, tmp_path, settings) as process:
        held = gate.wait_for(NODES * EACH, alive(process))
        taken = Counter((place["node"], *place["gpus"]) for place in held.values())
        assert list(taken.values()) == [EACH] * NODES
        gate.open()
        finished(process)
    run = Run("spot", settings["storage"])
    assert len(run.ledger.evaluations) == NODES * EACH
    print("COST", cost_account(run))
