"""Encoded images to pixels, and pixels to another size."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from autoshrink_ray.errors import DataError
from trainables.data.sets import Pixels

_GRAY_MODES = {"1", "L", "LA", "La"}
_DEEP_MODES = {"I", "F"}

_DAMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises on damaged files, depending on the format."""


def decode(content: bytes, place: str) -> Pixels:
    """Decodes one image, pixels as stored: a rotation noted in the file is not applied.

    Args:
        content: A file in any format that Pillow knows; of an animation, its first frame.
        place: What an error message calls the image.

    Returns:
        uint8 of shape (H, W, 1) for a gray image, else (H, W, 3); transparency is dropped.

    Raises:
        DataError: If it is damaged or has more than 8 bits a channel.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if image.mode in _DEEP_MODES or image.mode.startswith("I;"):
                raise DataError(f"{place}: an image has 8 bits a channel, got mode {image.mode}")
            return as_pixels(_flat(image))
    except UnidentifiedImageError as error:  # its text names an object in memory
        raise DataError(f"{place} is not a readable image: no known format") from error
    except _DAMAGE as error:
        raise DataError(f"{place} is not a readable image: {error}") from error


def _flat(image: Image.Image) -> Image.Image:
    if image.mode in _GRAY_MODES:
        return image.convert("L")
    if "transparency" in image.info:  # a palette with alpha values converts to RGBA only
        image = image.convert("RGBA")
    return image.convert("RGB")


def as_pixels(image: Image.Image) -> Pixels:
    """Pixels of a gray ("L") or RGB image: uint8 of shape (H, W, 1) or (H, W, 3)."""
    pixels = np.array(image, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def resized(pixels: Pixels, size: int | None) -> Pixels:
    """Brings the shorter side to `size` (bicubic) and crops the centre square.

    Args:
        pixels: uint8 of shape (H, W, 1) or (H, W, 3).
        size: Height and width wanted; None leaves the image as it is.

    Returns:
        uint8 of shape (size, size, 1) or (size, size, 3).
    """
    if size is None or pixels.shape[:2] == (size, size):
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return as_pixels(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))
