from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from autoshrink_ray.errors import FileFormatError
from search_spaces.build import build
from tests.trainables.final.image_support import (
    PLAIN,
    identical,
    image_data,
    network_file,
    setup,
    through_files,
    training,
)
from tests.trainables.support import image_set
from trainables.final.contracts import State
from trainables.final.inputs.orders import training_orders
from trainables.final.inputs.transforms import normalised
from trainables.final.optimisers import optimiser
from trainables.measure import DivergedError

VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "no average": {"ema_decay": None},
    "sgd": {"optimiser": "sgd", **PLAIN},
    "shifts": {"optimiser": "sgd", "crop_area": None, "crop_padding": 1},
    "bfloat16": {"precision": "bfloat16"},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_restored_training_ends_where_an_undisturbed_one_ends(changes: dict[str, Any]) -> None:
    undisturbed = training(**changes)
    for _ in range(4):
        expected = undisturbed.run_epoch(0)
    first = training(**changes)
    first.run_epoch(0)
    first.run_epoch(0)
    torch.rand(3)  # what else happens in the process has no influence
    second = training(**changes)
    second.restore(through_files(first.state()))
    assert second.epochs_done == 2
    assert not second.finished
    second.run_epoch(0)
    assert second.run_epoch(0) == expected
    assert second.finished
    assert identical(second.weights(), undisturbed.weights())


def test_a_training_can_be_put_back_to_its_beginning() -> None:
    started = training()
    beginning = through_files(started.state())
    first = started.run_epoch(0)
    started.restore(beginning)
    assert started.epochs_done == 0
    assert started.run_epoch(0) == first


def test_seed_and_attempt_decide_what_happens() -> None:
    def after(seed: int, attempt: int) -> dict[str, Tensor]:
        started = training(seed=seed)
        started.run_epoch(attempt)
        return started.weights()

    assert identical(after(0, 0), after(0, 0))
    assert not identical(after(0, 0), after(0, 1))
    assert not identical(after(0, 0), after(1, 0))


def test_the_first_epoch_is_what_a_plain_loop_does() -> None:
    """Without augmentation and averages, written down once more."""
    changes = {"ema_decay": None, "label_smoothing": 0.2, "l2": 1e-3, "learning_rate": 2.0, **PLAIN}
    made_from = setup(**changes)
    data, recipe = image_data(), made_from.recipe
    started = training(**changes)
    metrics = started.run_epoch(0)

    plain = build(made_from.network)
    plain.load_state_dict(training(**changes).weights())
    optimizer = optimiser(plain, recipe)
    images = torch.from_numpy(image_set(size=6).train_images.copy()).permute(0, 3, 1, 2)
    labels = torch.from_numpy(image_set(size=6).train_labels.copy())
    order = shown_order(made_from)
    assert sorted(order) == list(range(40))
    losses = []
    for start in range(0, 40, 8):
        which = order[start : start + 8]
        logits = plain(normalised(images[which], data.mean, data.std))
        loss = F.cross_entropy(logits, labels[which], label_smoothing=0.2)
        losses.append(loss.item())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate_in(1)
        optimizer.step()
    assert metrics["training_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert metrics["learning_rate"] == recipe.learning_rate_in(1)
    torch.testing.assert_close(started.weights(), plain.state_dict(), rtol=1e-3, atol=1e-4)


def shown_order(made_from: Any) -> list[int]:
    orders = training_orders(
        made_from.data.train, made_from.recipe, made_from.seed, 1, 0, made_from.world
    )
    return [item.position for order in orders for item in order.items]


def test_validation_is_of_the_averaged_weights() -> None:
    started = training(ema_decay=0.9)
    metrics = started.run_epoch(0)
    module = build(network_file())
    module.load_state_dict(started.weights())
    data = image_set(size=6)
    images = torch.from_numpy(data.valid_images.copy()).permute(0, 3, 1, 2)
    labels = torch.from_numpy(data.valid_labels.copy())
    with torch.no_grad():
        logits = module.eval()(normalised(images, data.mean, data.std))
    assert metrics["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-4)
    assert metrics["accuracy"] == (logits.argmax(1) == labels).sum().item() / len(labels)
    raw = {k: v for k, v in started.state().tensors.items() if k.startswith("network.")}
    assert not torch.equal(raw["network.stem.conv.weight"], started.weights()["stem.conv.weight"])


def test_it_learns() -> None:
    started = training(epochs=12, learning_rate=4.0)
    while not started.finished:
        metrics = started.run_epoch(0)
    assert metrics["accuracy"] > 0.9
    assert metrics["loss"] < metrics["training_loss"]


def test_bfloat16_computes_about_the_same() -> None:
    """Also after many steps: each step sees the weights of the step before."""
    precise, rounded = (
        training(precision=precision, epochs=9, learning_rate=4.0, batch_size=4)
        for precision in ("float32", "bfloat16")
    )
    for _ in range(8):
        expected, found = precise.run_epoch(0), rounded.run_epoch(0)
    assert found["training_loss"] == pytest.approx(expected["training_loss"], rel=0.05)
    assert found["training_loss"] != expected["training_loss"]
    assert {value.dtype for value in rounded.weights().values()} <= {torch.float32, torch.int64}


def test_a_loader_process_changes_nothing() -> None:
    alone, helped = training(), training(loader_workers=1)
    for _ in range(2):
        assert alone.run_epoch(0) == helped.run_epoch(0)
    assert identical(alone.weights(), helped.weights())


@pytest.mark.parametrize("name", ["stem.conv.weight", "head.classifier.bias"])
def test_numbers_that_are_not_finite_are_a_divergence(name: str) -> None:
    started = training()
    state = started.state()
    broken = torch.full_like(state.tensors[f"network.{name}"], torch.nan)
    started.restore(State({**state.tensors, f"network.{name}": broken}, state.values))
    with pytest.raises(DivergedError, match="diverged in epoch 1: training loss nan"):
        started.run_epoch(0)
    started.restore(state)
    started.run_epoch(1)


def test_averages_that_are_not_finite_are_a_divergence_too() -> None:
    started = training()
    state = started.state()
    name = "average.head.classifier.bias"
    broken = torch.full_like(state.tensors[name], torch.inf)
    started.restore(State({**state.tensors, name: broken}, state.values))
    with pytest.raises(DivergedError, match="diverged in epoch 1: validation loss nan"):
        started.run_epoch(0)


def without(state: State, name: str) -> State:
    return State({k: v for k, v in state.tensors.items() if k != name}, state.values)


def test_state_that_does_not_fit_is_refused() -> None:
    state = training().state()
    started = training()
    for name in ("network.stem.conv.weight", "average.stem.conv.weight"):
        with pytest.raises(FileFormatError, match=r"stem\.conv\.weight is missing"):
            started.restore(without(state, name))
    with pytest.raises(FileFormatError, match="no image network's: epochs_done"):
        started.restore(State(state.tensors, {"average_updates": 0}))
    with pytest.raises(FileFormatError, match="averages where its recipe has ema_decay"):
        started.restore(training(ema_decay=None).state())
    other = training(network_file(base_width=8)).state()
    with pytest.raises(FileFormatError, match="the checkpoint's weights do not fit the network"):
        started.restore(other)


def test_state_is_a_copy() -> None:
    started = training()
    state, weights = started.state(), started.weights()
    before = {name: tensor.clone() for name, tensor in state.tensors.items()}
    started.run_epoch(0)
    assert identical(dict(state.tensors), before)
    assert not identical(weights, started.weights())
    assert all(tensor.is_contiguous() for tensor in started.state().tensors.values())
