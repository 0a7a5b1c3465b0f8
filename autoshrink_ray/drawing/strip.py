"""Pictures side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoshrink_ray.drawing import colours
from autoshrink_ray.drawing.picture import Picture
from autoshrink_ray.drawing.scene import Box, Placement, Point, Shape, Text, text_width
from autoshrink_ray.errors import ConfigError

_MARGIN, _CAPTION, _SIZE = 16.0, 26.0, 12.0


def filmstrip(
    pictures: Sequence[Picture],
    captions: Sequence[str],
    *,
    width: float = 1600.0,
    scale: float = 0.5,
    title: str = "",
) -> Picture:
    """Pictures in rows, each with its caption above it.

    Args:
        pictures: At least one.
        captions: As many.
        width: A new row begins where a picture would go beyond so many pixels.
        scale: Size of each picture in the strip, above 0.
        title: What the strip is called; by default, how many pictures it has.

    Raises:
        ConfigError: If these do not fit together.
    """
    if not pictures or len(pictures) != len(captions):
        raise ConfigError(
            f"a filmstrip has a caption for each of at least one picture, got {len(pictures)} "
            f"pictures and {len(captions)} captions"
        )
    if not (width > 0 and scale > 0):
        raise ConfigError(f"width and scale of a filmstrip are above 0, got {width} and {scale}")
    sizes = [
        (max(picture.width * scale, text_width(caption, _SIZE)), picture.height * scale + _CAPTION)
        for picture, caption in zip(pictures, captions, strict=True)
    ]
    corners = _corners(sizes, width)
    ends = [(x + w, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=True)]
    size = [math.ceil(max(end[axis] for end in ends) + _MARGIN) for axis in (0, 1)]
    shapes: list[Shape] = [Box((0, 0), size[0], size[1], 0, colours.PAPER, role="paper")]
    for (x, y), picture, caption in zip(corners, pictures, captions, strict=True):
        shapes.append(Text((x, y + _CAPTION / 2), caption, _SIZE, colours.INK, role="caption"))
        place = Placement(scale, x, y + _CAPTION)
        shapes += [shape.placed(place) for shape in picture.shapes]
    words = "\n".join(
        f"{caption}: {picture.description}"
        for caption, picture in zip(captions, pictures, strict=True)
    )
    name = title or f"{len(pictures)} pictures"
    return Picture(size[0], size[1], name, words, tuple(shapes))


def _corners(sizes: Sequence[Point], width: float) -> list[Point]:
    """Upper left corners in rows as high as their highest picture."""
    corners: list[Point] = []
    x = y = _MARGIN
    highest = 0.0
    for wide, high in sizes:
        if x > _MARGIN and x + wide + _MARGIN > width:
            x, y, highest = _MARGIN, y + highest + _MARGIN, 0.0
        corners.append((x, y))
        x, highest = x + wide + _MARGIN, max(highest, high)
    return corners
