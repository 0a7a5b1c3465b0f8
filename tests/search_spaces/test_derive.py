from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from autoshrink_ray.errors import ConfigError, TopologyError
from autoshrink_ray.files import CellFile
from autoshrink_ray.topology import Topology
from search_spaces import CELLS, build, cnn, rnn
from search_spaces.derive import derive, preset_names
from search_spaces.network import NetworkFile
from search_spaces.plan import Norm, Stage
from tests.strategies import unpruned_topologies

SHRINK_CNN = CELLS["shrink-cnn-a"].cell
SHRINK_RNN = CELLS["shrink-rnn"].cell
CELL_OF = {"image": SHRINK_CNN, "text": SHRINK_RNN}

small = settings(deadline=None, max_examples=25)


def plan_of(network: NetworkFile) -> Any:
    return cnn.CnnMacro.model_validate(network.macro).plan


def test_presets_are_listed_by_what_they_are_for() -> None:
    assert preset_names() == ["cifar", "digits", "imagenet", "ptb"]
    assert preset_names("image") == ["cifar", "digits", "imagenet"]
    assert preset_names("text") == ["ptb"]


@pytest.mark.parametrize("task", CELL_OF)
def test_each_preset_names_its_recipe_and_gives_a_network(task: str) -> None:
    for name in preset_names(task):
        network = derive(CELL_OF[task], name)
        assert network.recipe == name
        assert network.task == task


def test_imagenet_is_the_papers_network() -> None:
    network = derive(SHRINK_CNN, "imagenet")
    plan = plan_of(network)
    assert [stage.width for stage in plan.stages] == [12, 24, 44, 88, 180]
    assert [stage.cells for stage in plan.stages] == [1, 3, 4, 6, 4]
    assert [stage.pool for stage in plan.stages] == [1, 2, 2, 2, 2]
    assert (plan.stem_filters, plan.stem_stride, plan.head_filters) == (44, 2, 1280)
    assert (plan.norm, plan.activation) == (Norm(eps=1e-3, momentum=1e-3), "relu")
    assert network.macro["initializer"] == "fan_out_normal"
    assert network.input.model_dump() == {
        "channels": 3,
        "height": 224,
        "width": 224,
        "classes": 1000,
    }


def test_ptb_is_the_papers_language_model() -> None:
    network = derive(SHRINK_RNN, "ptb")
    assert network.macro == {
        "hidden_size": 745,
        "dropout_words": 0.1,
        "dropout_embedding": 0.2,
        "dropout_input": 0.75,
        "dropout_hidden": 0.25,
        "dropout_output": 0.75,
    }
    assert network.input.model_dump() == {"vocabulary": 10_000}


def test_changes_go_on_top_of_the_preset() -> None:
    macro = {"channel_scale": 2, "replicate": [1, 2, 3], "activation": "swish"}
    network = derive(SHRINK_CNN, "cifar", macro=macro, input={"classes": 100, "height": 40})
    plan = plan_of(network)
    assert plan.stages == (Stage(32, 1, 1), Stage(64, 2, 2), Stage(128, 2, 3))
    assert (plan.stem_filters, plan.activation) == (64, "swish")
    assert (network.shape.classes, network.shape.height, network.shape.width) == (100, 40, 32)


@small
@given(unpruned_topologies(tuple(cnn.OPERATIONS)))
def test_every_image_cell_gives_a_network_that_is_read_back(topology: Topology) -> None:
    network = derive(CellFile.of("cnn", topology), "cifar")
    assert NetworkFile.from_json(network.to_json(), "it") == network
    assert network.topology == topology


@small
@given(unpruned_topologies(tuple(rnn.ACTIVATIONS), max_nodes=6))
def test_every_recurrent_cell_gives_a_network_that_is_read_back(topology: Topology) -> None:
    network = derive(CellFile.of("rnn", topology), "ptb")
    assert NetworkFile.from_json(network.to_json(), "it") == network


def test_the_cells_origin_is_kept() -> None:
    cell = CellFile.of(
        "cnn", SHRINK_CNN.topology, score=0.5, metrics={"macs": 3.0}, provenance={"run": "first"}
    )
    assert derive(cell, "digits").provenance == {
        "preset": "digits",
        "cell": {"score": 0.5, "metrics": {"macs": 3.0}, "provenance": {"run": "first"}},
    }


def test_swish_is_everywhere_but_after_the_depthwise_part_of_linear_leaves() -> None:
    module = build(derive(SHRINK_CNN, "digits", macro={"activation": "swish", "head_filters": 8}))
    kinds = {name: type(part).__name__ for name, part in module.named_modules()}
    activations = {
        name: kind for name, kind in kinds.items() if name.rpartition(".")[2].endswith("activation")
    }
    for name, kind in activations.items():
        node, _, inner = name.partition(".nodes.")[2].partition(".")
        if node in {"3", "4"}:  # the leaves
            assert kind == ("ReLU" if inner == "depthwise_activation" else "Identity")
        else:
            assert kind == "SiLU"
    assert len(activations) > 20


@pytest.mark.parametrize(
    ("cell", "preset", "changes", "message"),
    [
        (SHRINK_CNN, "mnist", {}, "unknown preset 'mnist'; choose one of cifar, digits, imagenet$"),
        (SHRINK_CNN, "ptb", {}, "for text networks, got a cell of space 'cnn'; choose one of cif"),
        (SHRINK_RNN, "cifar", {}, "for image networks, .* space 'rnn'; choose one of ptb$"),
        (SHRINK_CNN, "cifar", {"macro": {"hidden_size": 3}}, "hidden_size is no setting of space"),
        (SHRINK_CNN, "cifar", {"macro": {"channel_scale": 65}}, "less than or equal to 64, got 65"),
        (SHRINK_CNN, "cifar", {"macro": {"channel_scale": -1}}, "greater than 0, got -1"),
        (SHRINK_CNN, "cifar", {"macro": {"replicate": [2]}}, "3 of scale and 1 of replicate"),
        (SHRINK_CNN, "cifar", {"macro": {"activation": "gelu"}}, "'relu' or 'swish', got 'gelu'"),
        (SHRINK_RNN, "ptb", {"macro": {"dropout_output": 1}}, "less than 1, got 1"),
        (SHRINK_CNN, "cifar", {"input": {"vocabulary": 3}}, "no part of the input of image netw"),
        (SHRINK_RNN, "ptb", {"input": {"classes": 3}}, "choose from vocabulary"),
        (SHRINK_CNN, "cifar", {"input": {"classes": 1}}, "classes: .* equal to 2, got 1"),
        (SHRINK_CNN, "cifar", {"input": {"height": 0}}, "height: .* equal to 1, got 0"),
    ],
)
def test_it_refuses(cell: CellFile, preset: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        derive(cell, preset, **changes)


def test_a_cell_of_another_space_is_refused() -> None:
    with pytest.raises(TopologyError, match="node 1 is one of sep3x3, conv1x1; got 'identity'"):
        derive(CellFile.of("cnn", SHRINK_RNN.topology), "cifar")


@pytest.mark.parametrize("space", ["none", "this:d"])
def test_a_cell_file_cannot_name_code(space: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`this` prints a poem when it is imported."""
    with pytest.raises(
        ConfigError, match=f"unknown search space '{space}'; choose one of cnn, .*rnn"
    ):
        derive(CellFile.of(space, SHRINK_CNN.topology), "cifar")
    assert capsys.readouterr().out == ""
