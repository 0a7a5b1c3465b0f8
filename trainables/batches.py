"""Which examples come when: the order of images and the segments of a text."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def as_tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    """Tensor over the memory of `array`, also where that is read-only; never write to it."""
    with warnings.catch_warnings():
        # Arrays in Ray's object store are read-only, and torch has no read-only tensors.
        warnings.filterwarnings("ignore", message=".*not writable", category=UserWarning)
        return torch.from_numpy(np.ascontiguousarray(array))


class EndlessShuffle:
    """Random orders of the numbers 0..size-1, one behind the other, without an end.

    A draw may cross from one order into the next and nothing is dropped, so each number comes
    exactly once in every `size` draws (plain rule of the proxy task).

    Args:
        size: How many numbers there are.
        seed: Determines all orders.
        device: Where the draws are wanted.
    """

    def __init__(self, size: int, seed: int, device: torch.device) -> None:
        self._size = size
        self._generator = torch.Generator().manual_seed(seed)  # on the CPU: the same everywhere
        self._device = device
        self._pending = torch.empty(0, dtype=torch.int64, device=device)

    def draw(self, count: int) -> torch.Tensor:
        """The next `count` numbers, int64 of shape (count,)."""
        while len(self._pending) < count:
            order = torch.randperm(self._size, generator=self._generator).to(self._device)
            self._pending = torch.cat([self._pending, order])
        drawn, self._pending = self._pending[:count], self._pending[count:]
        return drawn


def text_columns(words: npt.NDArray[np.int32], batch: int) -> torch.Tensor:
    """Cuts a text into `batch` equally long pieces side by side; what is left over is dropped.

    Args:
        words: Word numbers, shape (N,).
        batch: Number of columns B.

    Returns:
        int64 of shape (N // B, B); column b continues downwards in reading order.
    """
    rows = len(words) // batch
    columns = as_tensor(words)[: rows * batch].view(batch, rows).t()
    return columns.to(torch.int64).contiguous()


@dataclass(frozen=True)
class Jitter:
    """Random lengths of segments: normal around the wanted one, rounded, within bounds.

    Attributes:
        deviation: Standard deviation, in rows; 0 for no change of the length.
        least: Shortest length.
        most: Longest length.
    """

    deviation: float
    least: int
    most: int

    def draw(self, length: int, generator: torch.Generator) -> int:
        """A length around `length`."""
        drawn = length + self.deviation * torch.randn((), generator=generator).item()
        return round(min(max(drawn, self.least), self.most))


def segments(
    rows: int,
    bptt: int,
    half_length_probability: float,
    generator: torch.Generator,
    jitter: Jitter | None = None,
) -> Iterator[tuple[int, int]]:
    """Cuts the inputs of one training epoch into segments for truncated back-propagation.

    Args:
        rows: Rows T of the text columns; the last one is a target only.
        bptt: Rows of a segment; the epoch's last one takes what is left.
        half_length_probability: Share of segments that are half as long, rounded down.
        generator: Source of that choice and of the jitter.
        jitter: Varies each length, also the halved ones; None for no change.

    Yields:
        First row and number of rows of each segment.
    """
    start, inputs = 0, rows - 1
    while start < inputs:
        halved = torch.rand((), generator=generator).item() < half_length_probability
        length = max(1, bptt // 2) if halved else bptt
        if jitter is not None:
            length = jitter.draw(length, generator)
        length = min(length, inputs - start)
        yield start, length
        start += length
