"""CIFAR-10's batch files, which are Python pickles, read without running what they ask for.

A pickle is a program that may call anything it can name. These files need to name four things
of numpy and the standard library; each is replaced by a stand-in of ours that only keeps its
arguments, and every other name is refused.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from autoshrink_ray.errors import DataError
from trainables.data.sets import Labels, Pixels

_CHANNELS, _HEIGHT, _WIDTH = 3, 32, 32
_VALUES = _CHANNELS * _HEIGHT * _WIDTH

_DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What the unpickler raises on damaged or foreign files."""


class _Subtype:
    """Stands in for `numpy.ndarray`, which the files only pass on."""


class _Dtype:
    """Stands in for `numpy.dtype`: remembers the type code."""

    def __init__(self, code: str, *flags: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Byte order and the like: of no effect for single bytes."""


class _Array:
    """Stands in for an array under reconstruction: keeps shape, type and bytes."""

    def __init__(self, *prototype: object) -> None:
        self.content: tuple[tuple[int, ...], str, bytes] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, column_major, raw = state
        if column_major:
            raise ValueError("an image array is stored by rows")
        content = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
        self.content = (shape, dtype.code, content)


def _encoded(text: str, encoding: str) -> bytes:
    """Stands in for `_codecs.encode`, by which Python 3 writes bytes in old protocols."""
    if encoding != "latin1":
        raise ValueError(f"bytes are written as latin1, got {encoding!r}")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encoded,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Subtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
}


class _BatchUnpickler(pickle.Unpickler):
    """An unpickler to which nothing but the stand-ins exists."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        stand_in = _STAND_INS.get((module_name, global_name))
        if stand_in is None:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return stand_in


def read_batch(path: Path) -> tuple[Pixels, Labels]:
    """Reads one batch file of CIFAR-10's Python version.

    Returns:
        Images uint8 (N, 32, 32, 3) and labels int64 (N,).

    Raises:
        DataError: If the file is missing, damaged, or asks for anything but arrays.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    try:
        batch = _BatchUnpickler(io.BytesIO(content), encoding="latin1").load()
        entries = {_text(key): value for key, value in batch.items()}
        images, labels = _images(entries["data"]), _labels(entries["labels"])
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images and {len(labels)} labels")
    except _DAMAGE as error:
        raise DataError(
            f"{path} is not a batch of CIFAR-10: {error!r}; delete it to download it again"
        ) from error
    return images, labels


def _text(key: object) -> str:
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def _images(array: _Array) -> Pixels:
    if array.content is None:
        raise ValueError("the image array has no content")
    shape, code, raw = array.content
    if code != "u1" or len(shape) != 2 or shape[1] != _VALUES or len(raw) != math.prod(shape):
        raise ValueError(
            f"images are bytes of shape (N, {_VALUES}), got {code} {shape}, {len(raw)} bytes"
        )
    planes = np.frombuffer(raw, np.uint8).reshape(-1, _CHANNELS, _HEIGHT, _WIDTH)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _labels(labels: object) -> Labels:
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise TypeError("labels are a list of whole numbers")
    return np.array(labels, dtype=np.int64)
