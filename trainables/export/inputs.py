"""Real inputs, prepared exactly as evaluation prepares them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from autoshrink_ray.errors import DataError
from search_spaces.network import ImageInput
from trainables.batches import text_columns
from trainables.device import Compute
from trainables.evaluate import Trained
from trainables.final.config import TrainPlan
from trainables.final.contracts import Setup

_COLUMNS = 5
"""Pieces of the text that are read side by side."""


def real_inputs(trained: Trained, plan: TrainPlan, samples: int) -> Tensor:
    """The first validation images, or words of the validation text.

    Args:
        trained: What they are for.
        plan: Says which data.
        samples: How many images at most; or words in a row at most, of each of 5 pieces.

    Returns:
        float32 (N, C, H, W), or int64 (T, 5) of word numbers.

    Raises:
        DataError: If the data are missing, damaged or contradict the network.
    """
    data: Any = plan.load_data()
    if not isinstance(trained.network.input, ImageInput):
        columns = text_columns(data.valid, _COLUMNS)[:samples]
        if not len(columns):
            raise DataError(
                f"the validation text has at least {_COLUMNS} words, got {len(data.valid)}"
            )
        return columns
    compute = Compute.available(threads=torch.get_num_threads(), gpu=False, deterministic=True)
    setup = Setup(trained.network, plan.recipe, data, compute)
    recorder = _Recorder(samples, trained.network.input.classes)
    with suppress(_Enough):
        plan.task.evaluate(recorder, data, "valid", trained.card.inputs, setup)
    return torch.cat(recorder.batches)[:samples].contiguous()


class _Enough(Exception):  # noqa: N818 - no error: the recorder has what it wants
    pass


class _Recorder(nn.Module):
    """Stands in the network's place in an evaluation, so that nothing prepares images twice."""

    def __init__(self, wanted: int, classes: int) -> None:
        super().__init__()
        self._wanted = wanted
        self._classes = classes
        self.batches: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to zeros (B, classes)."""
        self.batches.append(images.detach().to(torch.float32).clone())
        if sum(map(len, self.batches)) >= self._wanted:
            raise _Enough
        return images.new_zeros(len(images), self._classes)
