"""Two real processes that train one image network together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from autoshrink_ray.errors import ConfigError
from search_spaces.build import build
from tests.trainables.final.image_support import identical, image_data, setup, training
from tests.trainables.final.processes import in_processes, seen_by_both
from tests.trainables.support import image_set
from trainables.final.contracts import State, World
from trainables.final.image import IMAGE_TASK
from trainables.final.image_training import ImageTraining
from trainables.measure import DivergedError

SETTINGS = {"epochs": 6, "batch_size": 20, "optimiser": "sgd", "learning_rate": 0.5}


def trained(world: World) -> tuple[ImageTraining, list[dict[str, float]]]:
    started = training(data=image_data(image_set(valid=21, size=6)), world=world, **SETTINGS)
    return started, [started.run_epoch(0) for _ in range(3)]


def resumed(world: World) -> ImageTraining:
    first, second = (training(world=world, **SETTINGS) for _ in range(2))
    first.run_epoch(0)
    second.restore(first.state())
    for each in (first, second):
        each.run_epoch(0)
    assert identical(first.weights(), second.weights())
    return second


def message_of_divergence(world: World) -> str:
    """Only the second process has weights that are not finite."""
    started = training(world=world, **SETTINGS)
    if world.rank == 1:
        state = started.state()
        nan = {"network.head.classifier.bias": torch.full((3,), torch.nan)}
        started.restore(State({**state.tensors, **nan}, state.values))
    with pytest.raises(DivergedError) as caught:
        started.run_epoch(0)
    return str(caught.value)


def evaluated(weights: dict[str, torch.Tensor], world: World) -> dict[str, float]:
    made_from = setup(world=world)
    module = build(made_from.network)
    module.load_state_dict(weights)
    inputs = IMAGE_TASK.inputs(made_from.recipe, made_from.data)
    return IMAGE_TASK.evaluate(module, made_from.data, "valid", inputs, made_from)


def work(world: World, folder: Path) -> None:
    started, curve = trained(world)
    save_file(dict(started.state().tensors), folder / f"trained-{world.rank}.safetensors")
    save_file(dict(resumed(world).state().tensors), folder / f"resumed-{world.rank}.safetensors")
    seen = {
        "curve": curve,
        "diverged": message_of_divergence(world),
        "evaluated": evaluated(started.weights(), world),
    }
    (folder / f"{world.rank}.json").write_text(json.dumps(seen))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both processes left."""
    place = tmp_path_factory.mktemp("processes")
    in_processes(work, place)
    return place


@pytest.mark.parametrize("name", ["trained", "resumed"])
def test_both_processes_have_the_same_state(folder: Path, name: str) -> None:
    first, second = (load_file(folder / f"{name}-{rank}.safetensors") for rank in (0, 1))
    assert identical(first, second)


def test_two_processes_train_about_as_one_does(folder: Path) -> None:
    """Batch normalisation sees half a batch at a time, everything else is the same."""
    seen = seen_by_both(folder)
    alone, curve = trained(World())
    for together, single in zip(seen["curve"], curve, strict=True):
        assert together["learning_rate"] == single["learning_rate"]
        assert together["training_loss"] == pytest.approx(single["training_loss"], rel=0.1)
        assert together["loss"] == pytest.approx(single["loss"], rel=0.2)
    state = load_file(folder / "trained-0.safetensors")
    alone.restore(State(state, {"epochs_done": 3, "average_updates": 6}))
    assert seen["evaluated"] == pytest.approx(evaluated(alone.weights(), World()), rel=1e-5)


def test_what_diverges_in_one_diverges_in_both(folder: Path) -> None:
    assert seen_by_both(folder)["diverged"] == "diverged in epoch 1: training loss nan"


def of_three(world: World, folder: Path) -> None:
    """Three that go on after an epoch, beside three that were not interrupted."""
    data = image_data(image_set(train=24, valid=21, size=6))
    settings = SETTINGS | {"batch_size": 12}
    first, second = (training(data=data, world=world, **settings) for _ in range(2))
    first.run_epoch(0)
    second.restore(first.state())
    for each in (first, second):
        each.run_epoch(0)
    assert identical(first.weights(), second.weights())


def test_three_processes_go_on_with_the_same_bits(tmp_path: Path) -> None:
    """Of three, it matters in which order they add."""
    in_processes(of_three, tmp_path, 3)


def test_a_batch_that_cannot_be_shared_out_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"multiple of the number of workers.*got 8 and 3"):
        training(world=World(0, 3))
