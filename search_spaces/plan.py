"""The network around an image cell, as numbers: modules and costs are both made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Activation = Literal["relu", "swish"]
Initializer = Literal["glorot_normal", "fan_out_normal"]

STEM_SIZE = 3
"""Height and width of the stem's kernel."""


@dataclass(frozen=True)
class Norm:
    """Batch normalisation: `momentum` is torch's, one minus the running averages' decay."""

    eps: float
    momentum: float


@dataclass(frozen=True)
class Stage:
    """Cells at one resolution.

    Attributes:
        width: Channels of each node, so that a cell has leaves * width output channels.
        pool: Factor by which the first cell makes height and width smaller.
        cells: Cells, one after the other.
    """

    width: int
    pool: int
    cells: int = 1


@dataclass(frozen=True)
class CnnPlan:
    """Stem -> stages of cells -> optional 1x1 convolution -> average pool -> classifier.

    Attributes:
        stem_filters: Output channels of the 3x3 stem.
        stages: At least one.
        norm: Settings of every batch normalisation.
        stem_stride: Stride of the stem.
        head_filters: Output channels of a 1x1 convolution before the average pool; 0 for none.
        activation: Non-linearity of stem, cells and head.
    """

    stem_filters: int
    stages: tuple[Stage, ...]
    norm: Norm
    stem_stride: int = 1
    head_filters: int = 0
    activation: Activation = "relu"


def stage_width(channels: float) -> int:
    """`channels` as the nearest positive multiple of 4, ties to the multiple of 8.

    The fraction of `channels` is dropped before, as in the original search.
    """
    return 4 * max(1, round(int(channels) / 4))


def stem_width(channels: float) -> int:
    """`channels` as the nearest positive multiple of 4, ties to the multiple of 8."""
    return 4 * max(1, round(channels / 4))
