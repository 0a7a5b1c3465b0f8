"""The example plug-in under tests/plugins, from its name to its result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autoshrink_ray import ImageShape, Topology, run_search
from tests.plugins.stripes import MlpMacro, MlpSpace

pytestmark = pytest.mark.ray

SMALL = {"epochs": 4, "batch_size": 32}


@pytest.mark.usefixtures("cluster")
def test_own_space_and_data_are_searched_by_name(tmp_path: Path) -> None:
    run = run_search(
        space="mlp",
        plugins=("tests.plugins.stripes",),
        data="stripes:5",
        storage=str(tmp_path),
        candidates=2,
        proxy=SMALL,
    )
    assert run.status == "finished"
    assert run.space == "mlp"
    assert run.best is not None
    assert run.best.metrics["accuracy"] > 0.5
    assert "5 x 5" in run.file.data_summary


@pytest.mark.usefixtures("cluster")
def test_a_space_is_found_by_its_place_too(tmp_path: Path) -> None:
    """Code that was uploaded to a cluster has no entry points."""
    run = run_search(
        space="tests.plugins.stripes:SPACE",
        plugins=("tests.plugins.stripes",),
        storage=str(tmp_path),
        nodes=2,
        candidates=1,
        proxy=SMALL | {"epochs": 1},
    )
    assert run.status == "finished"
    assert run.file.config["space"] == "tests.plugins.stripes:SPACE"


def test_the_example_counts_its_parameters_right() -> None:
    topology = Topology(("relu", "tanh", "relu"), ((0, 1), (0, 2)))
    shape = ImageShape(channels=1, height=4, width=5, classes=3)
    network = MlpSpace().build(topology, MlpMacro(), shape)
    assert network(torch.zeros(2, 1, 4, 5)).shape == (2, 3)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert MlpSpace().cost(topology, MlpMacro(), shape)["params"] == count
