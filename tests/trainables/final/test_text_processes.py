"""Two real processes that train one language model together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from search_spaces.build import build
from tests.trainables.final.processes import in_processes, seen_by_both
from tests.trainables.final.text_support import DROPOUTS, TEXT, identical, network_file, setup
from trainables.final.contracts import State, World
from trainables.final.text import TEXT_TASK
from trainables.final.text_training import TextTraining
from trainables.measure import DivergedError

PLAIN = {"patience_to_average": 0, "learning_rate": 40.0}
"""The switch to averaging comes early."""


def plain(world: World) -> tuple[TextTraining, list[dict[str, float]]]:
    started = TextTraining(setup(world=world, **PLAIN))
    return started, [started.run_epoch(0) for _ in range(4)]


def interrupted(world: World) -> TextTraining:
    made_from = setup(network_file(**DROPOUTS), world=world, **PLAIN)
    first, second = TextTraining(made_from), TextTraining(made_from)
    first.run_epoch(0)
    second.restore(first.state())
    for _ in range(3):
        first.run_epoch(0)
        second.run_epoch(0)
    assert identical(first.weights(), second.weights())
    return second


def message_of_divergence(world: World) -> str:
    """Only the second process has weights that are not finite."""
    started = TextTraining(setup(world=world))
    if world.rank == 1:
        state = started.state()
        nan = {"network.decoder_bias": torch.full((10,), torch.nan)}
        started.restore(State(state.tensors | nan, state.values))
    with pytest.raises(DivergedError) as caught:
        started.run_epoch(0)
    return str(caught.value)


def evaluated(training: TextTraining, world: World) -> dict[str, float]:
    """On a test text of one column, of which the second process gets nothing."""
    made_from = setup(world=world)
    module = build(made_from.network)
    module.load_state_dict(training.weights())
    inputs = TEXT_TASK.inputs(made_from.recipe, TEXT)
    return TEXT_TASK.evaluate(module, TEXT, "test", inputs, made_from)


def work(world: World, folder: Path) -> None:
    training, curve = plain(world)
    save_file(training.weights(), folder / f"plain-{world.rank}.safetensors")
    save_file(interrupted(world).weights(), folder / f"interrupted-{world.rank}.safetensors")
    seen = {
        "curve": curve,
        "steps": training.state().values["averaged_steps"],
        "diverged": message_of_divergence(world),
        "test": evaluated(training, world),
    }
    (folder / f"{world.rank}.json").write_text(json.dumps(seen))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both processes left."""
    place = tmp_path_factory.mktemp("processes")
    in_processes(work, place)
    return place


@pytest.mark.parametrize("name", ["plain", "interrupted"])
def test_both_processes_have_the_same_weights(folder: Path, name: str) -> None:
    first, second = (load_file(folder / f"{name}-{rank}.safetensors") for rank in (0, 1))
    assert identical(first, second)


def test_two_processes_train_as_one_does(folder: Path) -> None:
    seen = seen_by_both(folder)
    alone, curve = plain(World())
    for together, single in zip(seen["curve"], curve, strict=True):
        assert together == pytest.approx(single, rel=1e-3)
    assert seen["steps"] == alone.state().values["averaged_steps"] > 0
    weights = load_file(folder / "plain-0.safetensors")
    torch.testing.assert_close(weights, alone.weights(), rtol=1e-2, atol=1e-3)
    assert seen["test"] == pytest.approx(evaluated(alone, World()), rel=1e-3)


def test_what_diverges_in_one_diverges_in_both(folder: Path) -> None:
    assert seen_by_both(folder)["diverged"] == "diverged in epoch 1: training loss nan"
