from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch

from autoshrink_ray.errors import TopologyError
from autoshrink_ray.records import Measurement
from trainables.device import Compute, machine
from trainables.measure import DivergedError, Progress, measure, require_finite

COMPUTE = Compute(torch.device("cpu"), threads=1, deterministic=True)


def measured(train: Callable[[Progress], None]) -> Measurement:
    return measure(COMPUTE, 0, train)


def raising(error: Exception) -> Callable[[Progress], None]:
    def train(progress: Progress) -> None:
        progress.epochs = 3
        progress.curve += [0.1, 0.2]
        progress.metrics["accuracy"] = 0.2
        raise error

    return train


def test_finished_training_is_complete() -> None:
    def train(progress: Progress) -> None:
        progress.epochs, progress.stop_reason = 1, "epochs"
        progress.curve.append(0.5)
        progress.metrics |= {"accuracy": 0.5, "macs": 10}

    result = measured(train)
    assert result.status == "complete"
    assert result.metrics == {"accuracy": 0.5, "macs": 10}
    assert (result.curve, result.epochs, result.stop_reason) == ((0.5,), 1, "epochs")
    assert (result.device, result.build) == machine(gpu=False)
    assert result.seconds > 0


@pytest.mark.parametrize(
    "error", [DivergedError("diverged in epoch 3"), TopologyError("no such operation")]
)
def test_faults_of_the_candidate_are_failures(error: Exception) -> None:
    result = measured(raising(error))
    assert (result.status, result.reason) == ("failed", str(error))
    assert (result.curve, result.epochs, result.metrics) == ((0.1, 0.2), 3, {})


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
)
def test_out_of_memory_has_a_status_of_its_own(error: Exception) -> None:
    result = measured(raising(error))
    assert result.status == "out_of_memory"
    assert result.reason == (str(error) or "out of memory")


def test_torch_says_so_when_the_cpu_has_no_memory_left() -> None:
    result = measured(lambda _: torch.empty(2**60, dtype=torch.uint8) and None)
    assert result.status == "out_of_memory"


def test_memory_is_free_again_afterwards() -> None:
    class Holder:
        pass

    alive: list[weakref.ref[Holder]] = []

    def train(progress: Progress) -> None:
        holder = Holder()
        holder.itself = holder  # type: ignore[attr-defined]
        alive.append(weakref.ref(holder))
        raise torch.OutOfMemoryError("full")

    gc.disable()
    try:
        measured(train)
    finally:
        gc.enable()
    assert alive[0]() is None


@pytest.mark.parametrize("error", [RuntimeError("lost the device"), ValueError("a bug")])
def test_everything_else_is_raised(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        measured(raising(error))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite(value: float) -> None:
    with pytest.raises(DivergedError, match=f"diverged in epoch 1: loss {value}"):
        require_finite(value, "epoch 1: loss")


def test_finite_numbers_pass() -> None:
    assert require_finite(1.5, "epoch 1: loss") == 1.5
