from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from autoshrink_ray.contracts import DataRequest, ImageShape
from autoshrink_ray.errors import DataError
from autoshrink_ray.topology import Topology
from search_spaces.cnn import SPACE, CnnMacro
from tests.contracts.task_contract import Case, TaskContract
from tests.trainables.support import EDGE, BuilderSpace, NoMacro, image_set
from trainables.data import ImageSet
from trainables.image import (
    TASK,
    DeviceImages,
    ImageEvaluator,
    ImageProxy,
    adam,
    standardisation,
)

CPU = torch.device("cpu")
MACRO = CnnMacro(stem_filters=4, base_width=4, scale=(1, 2), pools=(1, 2))
CELL = Topology(("sep3x3", "sep3x3", "conv1x1"), ((0, 1), (0, 2), (1, 2)))
OTHER_CELL = Topology(("sep3x3", "conv1x1", "sep3x3"), ((0, 1), (1, 2)))
SMALL = ImageProxy(epochs=2, batch_size=16, valid_batch_size=8)


class Network(nn.Module):
    """Looks at single pixels; keeps what it is shown in training and in validation."""

    def __init__(self, shape: ImageShape) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.channels * shape.height * shape.width, shape.classes)
        self.shown: list[Tensor] = []
        self.validated: list[Tensor] = []

    def parameters_by_role(self) -> dict[str, list[nn.Parameter]]:
        roles: dict[str, list[nn.Parameter]] = {"depthwise": [], "projection": []}
        return roles | {"kernel": [self.linear.weight], "other": [self.linear.bias]}

    def forward(self, images: Tensor) -> Tensor:
        (self.shown if self.training else self.validated).append(images)
        logits: Tensor = self.linear(images.flatten(1))
        return logits


class Watched:
    """Runs one candidate with a `Network` and keeps that network."""

    def __init__(self, data: ImageSet, network: type[Network] = Network, **settings: Any) -> None:
        self._network_type = network
        space = BuilderSpace(self._build)
        self.result = evaluator(data, ImageProxy(**settings), space, NoMacro()).evaluate(EDGE, 0)

    def _build(self, shape: ImageShape) -> Network:
        self.network = self._network_type(shape)
        return self.network


def evaluator(
    data: ImageSet, proxy: ImageProxy = SMALL, space: Any = SPACE, macro: Any = MACRO
) -> ImageEvaluator:
    return TASK.evaluator(space, macro, proxy, data, threads=1, gpu=False)


class TestImageTask(TaskContract):
    @pytest.fixture
    def case(self) -> Case:
        return Case(
            *("image", TASK, SPACE, MACRO, SMALL, image_set(), (CELL, OTHER_CELL)),
            foreign=("pydoc", "trains on images, got 'pydoc'"),
        )


def numbered_images(train: int, valid: int) -> ImageSet:
    """Image n has one pixel of value n."""
    images = np.arange(train, dtype=np.uint8).reshape(-1, 1, 1, 1)
    labels = np.arange(train, dtype=np.int64) % 2
    return ImageSet(images, labels, images[:valid], labels[:valid], ("even", "odd"))


def test_every_image_is_shown_once_a_round_across_epochs() -> None:
    watched = Watched(
        numbered_images(10, 10), epochs=4, batch_size=4, converged_accuracy=1, mean=[0], std=[1]
    )
    shown = torch.cat(watched.network.shown).flatten() * 255
    assert len(shown) == 4 * 3 * 4  # epochs, ceil(10 / 4) steps, images
    for start in range(0, 40, 10):
        assert sorted(shown[start : start + 10].round().tolist()) == list(range(10))


def test_validation_shows_every_image_once_an_epoch() -> None:
    watched = Watched(numbered_images(8, 7), epochs=1, valid_batch_size=3, mean=[0], std=[1])
    assert [len(batch) for batch in watched.network.validated] == [3, 3, 1]
    shown = torch.cat(watched.network.validated).flatten() * 255
    assert shown.round().tolist() == list(range(7))


def test_accuracy_and_loss_are_means_over_the_validation_images() -> None:
    class Stubborn(Network):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) * 0 + torch.tensor([1.0, 0.0])

    data = numbered_images(8, 7)  # 4 of 7 are even
    watched = Watched(data, Stubborn, epochs=1, valid_batch_size=3)
    assert watched.result.metrics["accuracy"] == 4 / 7
    losses = F.cross_entropy(
        torch.tensor([[1.0, 0.0]] * 7), torch.tensor(data.valid_labels), reduction="none"
    )
    assert watched.result.metrics["loss"] == pytest.approx(losses.mean().item())


def test_batches_are_standardised_and_channels_last() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    mean, std = (0.5, 0.25, 0.1), (0.2, 0.3, 1.0)
    labels = np.arange(5)
    batch, taken = DeviceImages(images, labels, mean, std, CPU).batch(torch.tensor([4, 1]))
    expected = (images[[4, 1]] / 255 - mean) / std
    np.testing.assert_allclose(batch.permute(0, 2, 3, 1), expected, atol=1e-5)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert taken.tolist() == [4, 1]


def test_statistics_are_the_data_sets_unless_given() -> None:
    data = image_set(channels=1)
    assert standardisation(ImageProxy(), data) == (data.mean, data.std)
    assert standardisation(ImageProxy(mean=(0.5,)), data) == ((0.5,), data.std)
    assert standardisation(ImageProxy(std=(0.5,)), data) == (data.mean, (0.5,))


@pytest.mark.parametrize("setting", ["mean", "std"])
def test_statistics_need_a_value_for_each_channel(setting: str) -> None:
    proxy = ImageProxy.model_validate({setting: (0.5, 0.5, 0.5)})
    with pytest.raises(DataError, match=f"{setting} has one value for each channel.*1, got 3"):
        TASK.load(DataRequest("digits", {}), SPACE, MACRO, proxy)


def test_converged_epoch_is_left_early_and_the_training_goes_on() -> None:
    class Oracle(Network):
        def forward(self, images: Tensor) -> Tensor:
            parity = (images.flatten() * 255).round() % 2
            right = torch.stack([1 - parity, parity], dim=1)
            return super().forward(images) * 0 + 5 * right

    settings = {"epochs": 3, "batch_size": 2, "mean": [0], "std": [1]}
    watched = Watched(numbered_images(20, 4), Oracle, **settings)
    assert len(watched.network.shown) == 3  # the first step of each epoch
    assert (watched.result.epochs, watched.result.stop_reason) == (3, "epochs")
    assert watched.result.curve == (1.0, 1.0, 1.0)
    watched = Watched(numbered_images(20, 4), Oracle, **settings, converged_accuracy=1)
    assert len(watched.network.shown) == 30


def test_best_epoch_counts_not_the_last() -> None:
    class Worse(Network):
        """Right in its first validation, wrong in the following ones."""

        def forward(self, images: Tensor) -> Tensor:
            first_epoch = len(self.validated) == 0
            logits = super().forward(images) * 0
            if self.training:
                return logits
            parity = (images.flatten() * 255).round() % 2
            right = torch.stack([1 - parity, parity], dim=1)
            return logits + (right if first_epoch else 1 - right)

    watched = Watched(numbered_images(4, 4), Worse, epochs=9, mean=[0], std=[1], patience=3)
    assert watched.result.curve == (1.0, 0.0, 0.0, 0.0)
    assert watched.result.stop_reason == "no_improvement"
    assert watched.result.metrics["accuracy"] == 1.0
    expected = F.cross_entropy(torch.tensor([[1.0, 0.0]]), torch.tensor([0])).item()
    assert watched.result.metrics["loss"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "epochs", "reason"),
    [
        ({"slow_start_epoch": 2, "slow_start_accuracy": 1.0}, 2, "slow_start"),
        ({"diverged_ratio": 1e-3}, 1, "overfitting"),
        ({"learning_rate": 1e-12, "patience": 1}, 2, "no_improvement"),
    ],
)
def test_stop_rules_end_the_training(settings: dict[str, Any], epochs: int, reason: str) -> None:
    watched = Watched(image_set(), **({"epochs": 9, "patience": 9} | settings))
    assert (watched.result.status, watched.result.stop_reason) == ("complete", reason)
    assert watched.result.epochs == len(watched.result.curve) == epochs


def test_diverged_training_is_a_failure_with_its_place() -> None:
    class Broken(Network):
        def forward(self, images: Tensor) -> Tensor:
            logits = super().forward(images)
            return logits / 0 if len(self.shown) == 5 else logits  # second step, second epoch

    result = Watched(
        image_set(train=9), Broken, epochs=3, batch_size=3, converged_accuracy=1
    ).result
    assert result.status == "failed"
    assert result.reason == "diverged in epoch 2, step 2: training loss nan"
    assert (result.epochs, len(result.curve)) == (2, 1)


def test_validation_loss_that_is_no_number_is_a_failure() -> None:
    class Broken(Network):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) * (1.0 if self.training else torch.inf)

    result = Watched(image_set(), Broken).result
    assert (result.status, result.reason) == (
        "failed",
        "diverged in epoch 1: validation loss nan",
    )


def test_weight_decay_is_the_gradient_of_the_l2_terms() -> None:
    proxy = ImageProxy(l2=0.25, l2_projection=0.5, learning_rate=0.1)
    network = SPACE.build(CELL, MACRO, image_set().shape)
    roles = network.parameters_by_role()
    assert all(roles.values())  # the cell has a parameter of each role
    plain = copy.deepcopy(network)
    plain_roles = plain.parameters_by_role()
    optimizer, plain_optimizer = adam(network, proxy), torch.optim.Adam(plain.parameters(), lr=0.1)
    images, labels = torch.randn(6, 1, 4, 4), torch.arange(6) % 3
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(images), labels))
        optimizer.step()
        plain_optimizer.zero_grad()
        kernels, projections = (
            sum((weight**2).sum() for weight in plain_roles[role])
            for role in ("kernel", "projection")
        )
        loss = F.cross_entropy(plain(images), labels) + 0.25 * kernels + 0.5 * projections
        torch.autograd.backward(loss)
        plain_optimizer.step()
    for role, parameters in roles.items():
        for ours, theirs in zip(parameters, plain_roles[role], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_paper_weight_decay() -> None:
    network = SPACE.build(CELL, MACRO, image_set().shape)
    roles = network.parameters_by_role()
    decay = {
        id(parameter): group["weight_decay"]
        for group in adam(network, ImageProxy()).param_groups
        for parameter in group["params"]
    }
    for role, expected in (("kernel", 2e-5), ("projection", 8e-5), ("depthwise", 0), ("other", 0)):
        assert {decay[id(parameter)] for parameter in roles[role]} == {expected}
    assert len(decay) == len(list(network.parameters()))


def test_paper_settings_are_the_defaults() -> None:
    assert ImageProxy().model_dump() == {
        "epochs": 20,
        "batch_size": 128,
        "valid_batch_size": 100,
        "learning_rate": 4e-3,
        "train_per_class": 500,
        "valid_per_class": 100,
        "data_dir": None,
        "image_size": None,
        "mean": None,
        "std": None,
        "l2": 1e-5,
        "l2_projection": 4e-5,
        "patience": 5,
        "slow_start_epoch": 4,
        "slow_start_accuracy": 0.2,
        "diverged_ratio": 3.0,
        "converged_accuracy": 0.98,
        "average_decay": 0.99,
        "seed": 0,
        "deterministic": True,
    }


@pytest.mark.parametrize(
    "setting",
    [
        {"batch_size": 0},
        {"valid_batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": float("inf")},
        {"train_per_class": 0},
        {"valid_per_class": 0},
        {"image_size": 0},
        {"mean": [float("nan")]},
        {"std": [0]},
        {"l2": -1e-9},
        {"l2_projection": float("nan")},
        {"seed": -1},
        {"dropout": 0.5},
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(setting))):
        ImageProxy(**setting)


def test_settings_reach_the_data_set() -> None:
    proxy = ImageProxy(train_per_class=7, valid_per_class=3)
    data = TASK.load(DataRequest("digits", proxy.model_dump()), SPACE, MACRO, proxy)
    assert np.bincount(data.train_labels).tolist() == [7] * 10
    assert np.bincount(data.valid_labels).tolist() == [3] * 10


def test_a_small_cell_learns_to_read_digits() -> None:
    proxy = ImageProxy(epochs=3, batch_size=16, train_per_class=100, valid_per_class=20)
    data = TASK.load(DataRequest("digits", proxy.model_dump()), SPACE, MACRO, proxy)
    result = evaluator(data, proxy).evaluate(CELL, 0)
    assert result.metrics["accuracy"] > 0.5
