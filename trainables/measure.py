"""From training to Measurement: what a candidate did wrong becomes a result that says so."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch

from autoshrink_ray.errors import TopologyError
from autoshrink_ray.records import Measurement, Metrics
from trainables.device import Compute

_Status = Literal["complete", "failed", "out_of_memory"]

# torch has an exception of its own only for a GPU's allocator; the rest say so in words.
_OUT_OF_MEMORY_WORDS = ("can't allocate memory", "ALLOC_FAILED", "out of memory")


class DivergedError(Exception):
    """Training reached a number that is not finite."""


@dataclass
class Progress:
    """What training has to show so far; a candidate that fails keeps it.

    Attributes:
        metrics: Results, complete when training is.
        curve: Validation quality after each epoch.
        epochs: Epochs begun.
        stop_reason: Rule that ended the training.
    """

    metrics: Metrics = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)
    epochs: int = 0
    stop_reason: str = ""


def require_finite(value: float, place: str) -> float:
    """`value`, if it is a number.

    Raises:
        DivergedError: If it is NaN or infinite.
    """
    if not math.isfinite(value):
        raise DivergedError(f"diverged in {place} {value}")
    return value


def measure(compute: Compute, seed: int, train: Callable[[Progress], None]) -> Measurement:
    """Runs `train` from `seed` on `compute` and reports how it ended.

    Divergence and a topology that the space refuses are failures of the candidate; running out
    of memory has a status of its own. Everything else is raised: it is nobody's result.

    Args:
        compute: Device and settings.
        seed: Start of torch's generators.
        train: Trains one candidate and enters its results into the progress that it is given.
    """
    started = time.perf_counter()
    progress = Progress()
    with compute.seeded(seed):
        status, reason = _outcome(train, progress)
        if status == "out_of_memory":
            gc.collect()  # a failed training may sit in reference cycles
            compute.release_memory()
    return Measurement(
        status=status,
        metrics=progress.metrics if status == "complete" else {},
        curve=tuple(progress.curve),
        epochs=progress.epochs,
        stop_reason=progress.stop_reason,
        reason=reason,
        seconds=time.perf_counter() - started,
        device=compute.name,
        build=compute.build,
    )


def _outcome(train: Callable[[Progress], None], progress: Progress) -> tuple[_Status, str]:
    try:
        train(progress)
    except (DivergedError, TopologyError) as error:
        return "failed", str(error)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        return "out_of_memory", str(error) or "out of memory"
    return "complete", ""


def _is_out_of_memory(error: MemoryError | RuntimeError) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY_WORDS)
