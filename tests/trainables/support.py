"""Small data and spaces for the tests of the training loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoshrink_ray.contracts import Settings
from autoshrink_ray.topology import Topology
from trainables.data import ImageSet, TextSet

EDGE = Topology(("x", "x"), ((0, 1),))
"""The smallest cell, for spaces that do not look at it."""


class NoMacro(Settings):
    """A network without settings."""


@dataclass
class BuilderSpace:
    """A space whose only network is what `builder` returns for a shape."""

    builder: Callable[[Any], Any]
    task: str = "image"
    name: str = "builder"
    nodes: int = 2
    keep_fraction: float = 0.5
    data: str = "none"
    Macro: type[Settings] = NoMacro

    def initial(self, nodes: int, seed: int) -> Topology:
        return EDGE

    def check(self, topology: Topology) -> None:
        pass

    def build(self, topology: Topology, macro: Any, shape: Any) -> Any:
        return self.builder(shape)

    def cost(self, topology: Topology, macro: Any, shape: Any) -> dict[str, int]:
        return {"macs": 7, "params": 5}


def image_set(
    train: int = 40, valid: int = 20, classes: int = 3, size: int = 4, channels: int = 1
) -> ImageSet:
    """Noise, brighter the higher the class."""
    rng = np.random.default_rng(0)

    def split(count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        labels = np.arange(count, dtype=np.int64) % classes
        noise = rng.integers(0, 60, (count, size, size, channels))
        return (noise + 60 * labels[:, None, None, None]).astype(np.uint8), labels

    return ImageSet(*split(train), *split(valid), tuple(f"class{i}" for i in range(classes)))


def text_set(train: Sequence[int], valid: Sequence[int], vocabulary: int, **more: Any) -> TextSet:
    """A text of numbered words, the vocabulary being w0, w1, ..."""
    words = tuple(f"w{number}" for number in range(vocabulary))
    splits = (np.array(split, dtype=np.int32) for split in (train, valid, valid))
    return TextSet(*splits, words, **more)
