"""Trained weights on a split, against a plain computation of the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from autoshrink_ray import plugins
from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import ConfigError, DataError, FileFormatError, StorageError
from tests.trainables.exporting import (
    image_network,
    text_network,
    trained,
    write_text,
    write_training,
)
from trainables.data import ImageSet, TextSet
from trainables.evaluate import Trained, evaluate
from trainables.export.inputs import real_inputs
from trainables.final.folder import WEIGHTS, TrainingRun

STATISTICS: dict[str, Any] = {"mean": [0.25], "std": [0.5], "image_size": [8, 8], "crop": 1.0}


def digits() -> ImageSet:
    data = plugins.dataset("digits")(DataRequest("digits", {}))
    assert isinstance(data, ImageSet)
    return data


def plain_images(pixels: Any) -> Tensor:
    """uint8 (N, H, W, C) as the network takes them."""
    return ((torch.tensor(pixels) / 255 - 0.25) / 0.5).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """A network for digits with arbitrary weights."""
    names = list(digits().class_names)
    folder = tmp_path_factory.mktemp("images") / "night"
    return write_training(folder, image_network(), "digits", class_names=names, **STATISTICS)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """A language model with arbitrary weights, validated in 4 columns."""
    place = tmp_path_factory.mktemp("text")
    words = write_text(place / "data")
    network = text_network(vocabulary=len(words))
    return write_training(place / "night", network, f"text:{place}/data", vocabulary=words)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_accuracy_and_loss_are_those_of_the_plain_computation(
    images: TrainingRun, split: str
) -> None:
    data, module = digits(), trained(images.network)[0]
    labels = torch.tensor(getattr(data, f"{split}_labels"))
    with torch.no_grad():
        logits = module(plain_images(getattr(data, f"{split}_images")))
    found = evaluate(Trained.from_training(images), split, gpu=False)
    assert found.examples == len(labels)
    assert found.metrics["accuracy"] == (logits.argmax(1) == labels).double().mean().item()
    best = logits.topk(5).indices == labels[:, None]
    assert found.metrics["top5_accuracy"] == pytest.approx(best.any(1).float().mean().item())
    assert found.metrics["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)


def plain_loss(run: TrainingRun, split: str, columns: int) -> float:
    data = plugins.dataset("text")(DataRequest(run.file.config["data"], {}))
    assert isinstance(data, TextSet)
    words = torch.tensor(getattr(data, split)).long()
    rows = words[: len(words) // columns * columns].view(columns, -1).t()
    module = trained(run.network)[0]
    with torch.no_grad():
        logits, _ = module(rows[:-1], torch.zeros(columns, 8))
    return F.cross_entropy(logits.flatten(0, 1), rows[1:].flatten()).item()


@pytest.mark.parametrize(
    ("split", "batch_size", "columns"),
    [("valid", None, 4), ("valid", 7, 7), ("train", 3, 3), ("test", None, 1), ("test", 5, 5)],
)
def test_perplexity_is_that_of_the_plain_computation(
    text: TrainingRun, split: str, batch_size: int | None, columns: int
) -> None:
    found = evaluate(Trained.from_training(text), split, batch_size=batch_size, gpu=False)
    loss = plain_loss(text, split, columns)
    assert found.metrics["loss"] == pytest.approx(loss, rel=1e-5)
    assert found.metrics["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)
    assert found.examples == 176


def test_weights_of_another_file_can_be_evaluated(images: TrainingRun, tmp_path: Path) -> None:
    weights = f"{images.folder.location}/{WEIGHTS}"
    bare = Trained.from_files(images.network, weights)
    own = evaluate(Trained.from_training(images), gpu=False)
    assert evaluate(bare, data="digits", gpu=False).metrics == pytest.approx(own.metrics)
    again = Trained.from_training(images, weights)
    assert evaluate(again, gpu=False).metrics == own.metrics


def test_real_images_are_prepared_as_evaluation_does(images: TrainingRun) -> None:
    plan = Trained.from_training(images).plan()
    inputs = real_inputs(Trained.from_training(images), plan, 11)
    torch.testing.assert_close(inputs, plain_images(digits().valid_images[:11]))


def test_real_words_are_pieces_of_the_validation_text(text: TrainingRun) -> None:
    plan = Trained.from_training(text).plan()
    inputs = real_inputs(Trained.from_training(text), plan, 6)
    words = plugins.dataset("text")(DataRequest(text.file.config["data"], {})).valid  # type: ignore[attr-defined]
    assert inputs[:, 0].tolist() == words[:6].tolist()
    assert inputs[:, 1].tolist() == words[35:41].tolist()


def test_the_plugins_that_a_file_names_are_not_imported(text: TrainingRun) -> None:
    config = text.file.config | {"plugins": ["no.such.module"]}
    file = text.file.model_copy(update={"config": config})
    run = TrainingRun(text.folder.location)
    run.__dict__["file"] = file
    assert Trained.from_training(run).plan().config.plugins == ()


def test_an_unknown_split_is_named(text: TrainingRun) -> None:
    with pytest.raises(ConfigError, match="unknown split 'all'; choose one of train, valid, test"):
        evaluate(Trained.from_training(text), "all", gpu=False)


def test_weights_of_another_network_are_refused(images: TrainingRun) -> None:
    weights = f"{images.folder.location}/{WEIGHTS}"
    for network, message in [
        (
            image_network(classes=9),
            r"head.classifier.weight has shape \(9, 8\) in the network, got",
        ),
        (image_network(activation="swish"), "belong to another network"),
    ]:
        with pytest.raises(FileFormatError, match=message):
            evaluate(Trained.from_files(network, weights), data="digits", gpu=False)


def test_classes_that_contradict_the_data_are_refused(tmp_path: Path) -> None:
    network = image_network(classes=9)
    names = [str(number) for number in range(9)]
    run = write_training(tmp_path / "nine", network, "digits", class_names=names, **STATISTICS)
    with pytest.raises(DataError, match="9"):
        evaluate(Trained.from_training(run), gpu=False)


def test_missing_weights_are_refused(images: TrainingRun) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*nowhere"):
        Trained.from_files(images.network, "nowhere")
