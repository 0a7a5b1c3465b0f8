"""Where a candidate is computed, and what makes the result a function of its seed alone."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

# What cuBLAS needs to be deterministic; it reads the variable when CUDA starts.
_CUBLAS_VARIABLE, _CUBLAS_DETERMINISTIC = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"

# Options of glibc's mallopt (malloc.h) and their new values in bytes.
_MALLOC_OPTIONS = {-1: 2**31 - 1, -3: 2**30}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD


@dataclass(frozen=True)
class Compute:
    """A device and the settings under which it computes.

    Attributes:
        device: A CUDA device or the CPU.
        threads: CPU threads; more or fewer can change the last digits of a result.
        deterministic: Whether only algorithms that always give the same bits are used.
    """

    device: torch.device
    threads: int
    deterministic: bool

    @classmethod
    def available(cls, *, threads: int, gpu: bool, deterministic: bool) -> Compute:
        """The GPU that this process sees, if it may use one, else the CPU."""
        if deterministic:
            os.environ.setdefault(_CUBLAS_VARIABLE, _CUBLAS_DETERMINISTIC)
        device = torch.device("cuda" if gpu and torch.cuda.is_available() else "cpu")
        if device.type == "cpu":
            keep_freed_memory()
        return cls(device, threads, deterministic)

    @property
    def name(self) -> str:
        """The GPU's model, or `cpu`, the instructions that torch uses, and the CPU's model."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"cpu {torch.backends.cpu.get_cpu_capability()} {_cpu_model()}"

    @property
    def build(self) -> str:
        """The library build that computes."""
        return f"torch {torch.__version__}"

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Computes on these settings with torch's generators started from `seed`.

        What was computed before has no influence, and generators and algorithms are put back at
        the end; the number of threads stays.
        """
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), _algorithms(self.deterministic):
            torch.manual_seed(seed)
            yield

    def release_memory(self) -> None:
        """Gives cached memory back to the device."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def machine(*, gpu: bool) -> tuple[str, str] | None:
    """Name and build of what this process computes on; None for a GPU where there is none."""
    if gpu and not torch.cuda.is_available():
        return None
    compute = Compute.available(threads=1, gpu=gpu, deterministic=True)
    return compute.name, compute.build


def keep_freed_memory() -> None:
    """Lets this process reuse the memory of large tensors; without effect outside glibc.

    By default glibc returns each block of 32 MiB or more to the system and takes a new one, page
    by page, for the next tensor. That is about a third of the time of a 32 x 32 image cell.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for option, value in _MALLOC_OPTIONS.items():
            mallopt(option, value)


@contextmanager
def _algorithms(deterministic: bool) -> Iterator[None]:
    """Restricts torch to deterministic algorithms, or lets it try out the fastest ones."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark,
    )
    _set_algorithms(deterministic, False, not deterministic)
    try:
        yield
    finally:
        _set_algorithms(*before)


def _set_algorithms(deterministic: bool, fill_memory: bool, benchmark: bool) -> None:
    torch.use_deterministic_algorithms(deterministic)
    # Filling every new tensor with NaN finds reads of uninitialised memory, and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = fill_memory  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = benchmark


@cache
def _cpu_model() -> str:
    """As the kernel names it, or at least the architecture."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()
