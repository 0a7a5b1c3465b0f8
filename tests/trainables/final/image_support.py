"""A small image network, its images, and its training."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from autoshrink_ray.contracts import DataRequest, ImageShape
from autoshrink_ray.topology import Topology
from search_spaces.cnn import CnnMacro
from search_spaces.network import NetworkFile
from tests.trainables.support import image_set
from trainables.data import ImageSet
from trainables.device import Compute
from trainables.final.contracts import Setup, State, World
from trainables.final.image import IMAGE_TASK
from trainables.final.image_recipe import ImageRecipe
from trainables.final.image_training import ImageTraining
from trainables.final.inputs.sources import ImageData, MemorySource

CELL = Topology(("conv1x1", "sep3x3", "conv1x1"), ((0, 1), (0, 2), (1, 2)))
SMALL = {
    "epochs": 4,
    "warmup_epochs": 1,
    "batch_size": 8,
    "valid_batch_size": 7,
    "learning_rate": 1.0,
    "ema_decay": 0.5,
    "crop": 1.0,
}
"""Beside these the paper's settings."""

PLAIN = {"crop_area": None, "flip": False, "erasing": 0.0}
"""No augmentation."""


def network_file(
    channels: int = 1, size: tuple[int, int] = (6, 6), classes: int = 3, **macro: Any
) -> NetworkFile:
    """A network of one stage around a small cell."""
    settings: dict[str, Any] = {"stem_filters": 8, "base_width": 4, "scale": (1,), "pools": (1,)}
    shape = ImageShape(channels, *size, classes)
    return NetworkFile.of("cnn", CELL, CnnMacro(**settings | macro), shape, recipe="cifar")


def image_data(images: ImageSet | None = None, network: NetworkFile | None = None) -> ImageData:
    """Images in memory, by default of the size that the small network takes."""
    images = images or image_set(size=6)
    shape = (network or network_file()).shape
    assert isinstance(shape, ImageShape)
    return ImageData(
        MemorySource("train", images.train_labels, images.train_images),
        MemorySource("valid", images.valid_labels, images.valid_images),
        images.class_names,
        shape,
        images.mean,
        images.std,
        images.fingerprint,
        images.summary,
    )


def compute() -> Compute:
    return Compute.available(threads=1, gpu=False, deterministic=True)


def setup(
    network: NetworkFile | None = None,
    data: ImageData | None = None,
    world: World | None = None,
    seed: int = 0,
    loader_workers: int = 0,
    **changes: Any,
) -> Setup:
    """Everything that a small training is made from."""
    network = network or network_file()
    return Setup(
        network=network,
        recipe=ImageRecipe(**(SMALL | changes)),
        data=data or image_data(network=network),
        compute=compute(),
        world=world or World(),
        seed=seed,
        loader_workers=loader_workers,
    )


def training(*args: Any, **changes: Any) -> ImageTraining:
    started = IMAGE_TASK.training(setup(*args, **changes))
    assert isinstance(started, ImageTraining)
    return started


def loaded(spec: str, network: NetworkFile, recipe: ImageRecipe, **options: Any) -> ImageData:
    data = IMAGE_TASK.load(DataRequest(spec, recipe.model_dump() | options), network, recipe)
    assert isinstance(data, ImageData)
    return data


def through_files(state: State) -> State:
    """The state as it is read back from a checkpoint's files."""
    return State(load(save(dict(state.tensors))), json.loads(json.dumps(dict(state.values))))


def identical(weights: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return weights.keys() == others.keys() and all(
        torch.equal(weights[name], others[name]) for name in weights
    )


def counted(count: int, size: int = 4, channels: int = 1) -> ImageSet:
    """Image n has pixels of value n; labels are even and odd."""
    images = np.empty((count, size, size, channels), np.uint8)
    images[:] = np.arange(count, dtype=np.uint8)[:, None, None, None]
    labels = np.arange(count, dtype=np.int64) % 2
    return ImageSet(images, labels, images, labels, ("even", "odd"))
