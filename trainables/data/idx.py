"""IDX, the file format of MNIST and its relatives."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from autoshrink_ray.errors import DataError
from trainables.data.sets import Pixels

_UNSIGNED_BYTE = 8
"""Type code of the format."""


def read_idx(path: Path, dimensions: int) -> Pixels:
    """Reads an IDX file of unsigned bytes.

    The format: two zero bytes, a type code, the number of dimensions, each dimension as a
    big-endian 32-bit number, then the values.

    Args:
        path: The uncompressed file.
        dimensions: How many dimensions it has to have.

    Returns:
        uint8 array with that many dimensions.

    Raises:
        DataError: If the file is missing or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]):
        raise DataError(
            f"{path} is not an IDX file of bytes with {dimensions} dimension(s); "
            f"delete it to download it again"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    values = len(content) - header
    if values != math.prod(shape):
        raise DataError(
            f"{path} holds {math.prod(shape)} values of shape {shape}, got {values}; "
            f"delete it to download it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
