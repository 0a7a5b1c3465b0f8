"""Trials that share GPUs: none of them idles while candidates wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from autoshrink_ray.packing import Shape, capacity, per_gpu
from tests.plugins.gated import Gate
from tests.ray.driver import alive, finished, searching
from tests.ray.growing import fixed_cluster

pytestmark = pytest.mark.ray

NODE = Shape(cpus=4, gpus=2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that runs no trials and one node with four CPUs and two fake GPUs."""
    with fixed_cluster(1, num_cpus=int(NODE.cpus), num_gpus=int(NODE.gpus)) as started:
        yield started


@pytest.mark.parametrize(
    ("cpus", "gpus", "notice"),
    [
        (1, 0.5, ""),
        (0.5, 0.4, "--gpus-per-trial 0.5"),  # two to a GPU, though 2 / 0.4 is five
    ],
)
def test_a_node_holds_what_was_counted_and_its_gpus_are_shared(
    cluster: Cluster, tmp_path: Path, cpus: float, gpus: float, notice: str
) -> None:
    gate, trial = Gate(tmp_path / "gate"), Shape(cpus, gpus)
    fitting = capacity(trial, NODE)
    settings = {
        "space": "gated",
        "plugins": ["tests.plugins.gated"],
        "storage": str(tmp_path / "runs"),
        "nodes": 5,
        "algorithm": "random",
        "budget": fitting + 1,
        "cpus_per_trial": cpus,
        "gpus_per_trial": gpus,
        "tensorboard": "off",
        "proxy": {"folder": str(gate.folder)},
    }
    with searching(cluster.address, tmp_path, settings) as process:
        held = gate.wait_for(fitting, alive(process))
        shared = Counter(gpu for place in held.values() for gpu in place["gpus"])
        assert max(shared.values()) <= per_gpu(gpus)
        assert sum(shared.values()) == fitting
        gate.let_go(list(held)[:1])
        assert len(gate.wait_for(fitting, alive(process))) == fitting, "who waited has the place"
        gate.open()
        told = finished(process)
    assert notice in " ".join(told.split())
    assert ("-per-trial" in told) == bool(notice)
