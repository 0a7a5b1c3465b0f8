"""A scene as PNG, drawn larger by Pillow and shrunk, with the font that Pillow brings."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from autoshrink_ray.drawing.scene import (
    Box,
    Curve,
    Placement,
    Point,
    Polygon,
    Shape,
    Text,
    on_curve,
    printable,
)
from autoshrink_ray.errors import ConfigError

_SUPERSAMPLING = 2
_PAPER = "#ffffff"
_MOST_PIXELS = 100_000_000


def to_png(width: int, height: int, shapes: Sequence[Shape], scale: float) -> bytes:
    """The content of a PNG file with a white background.

    Args:
        width: Width of the scene in pixels.
        height: Height of the scene in pixels.
        shapes: What is drawn, from back to front.
        scale: Pixels of the image per pixel of the scene.

    Raises:
        ConfigError: If the scale is not above 0, or gives more than 100 million pixels.
    """
    if not 0 < scale * scale * width * height <= _MOST_PIXELS or scale < 0:
        raise ConfigError(
            f"the scale of an image is above 0 and gives at most {_MOST_PIXELS:,} pixels, "
            f"got {scale} for {width} x {height}"
        )
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    large = Image.new("RGB", (size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING), _PAPER)
    draw = ImageDraw.Draw(large)
    place = Placement(scale * _SUPERSAMPLING, 0, 0)
    for shape in shapes:
        _draw(draw, shape.placed(place))
    file = io.BytesIO()
    large.reduce(_SUPERSAMPLING).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _draw(draw: ImageDraw.ImageDraw, shape: Shape) -> None:
    if isinstance(shape, Box):
        _box(draw, shape)
    elif isinstance(shape, Curve):
        _curve(draw, shape)
    elif isinstance(shape, Polygon):
        draw.polygon(shape.points, fill=shape.fill)
    else:
        _text(draw, shape)


def _box(draw: ImageDraw.ImageDraw, box: Box) -> None:
    """Pillow draws outlines inside; ours lie half outside."""
    (x, y), out = box.corner, box.line / 2
    draw.rounded_rectangle(
        (x - out, y - out, x + box.width + out, y + box.height + out),
        radius=box.radius + out,
        fill=None if box.fill == "none" else box.fill,
        outline=None if box.stroke == "none" else box.stroke,
        width=round(box.line),
    )


def _curve(draw: ImageDraw.ImageDraw, curve: Curve) -> None:
    points = on_curve(curve.points)
    for piece in _dashes(points, *curve.dash) if curve.dash else [points]:
        draw.line(piece, fill=curve.stroke, width=max(round(curve.line), 1))


def _dashes(points: list[Point], dash: float, gap: float) -> Iterator[list[Point]]:
    """Pieces of a line of `dash` pixels each, `gap` pixels apart."""
    piece, drawn, left = [points[0]], True, dash
    for start, end in itertools.pairwise(points):
        length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
        done = 0.0
        while length - done > left:
            done += left
            part = done / length
            turn = (start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part)
            if drawn:
                yield [*piece, turn]
            drawn = not drawn
            piece, left = [turn], dash if drawn else gap
        left -= length - done
        piece.append(end)
    if drawn and len(piece) > 1:
        yield piece


def _text(draw: ImageDraw.ImageDraw, text: Text) -> None:
    anchor = "mm" if text.anchor == "middle" else "lm"
    draw.text(text.at, printable(text.text), fill=text.fill, font=_font(text.size), anchor=anchor)


@lru_cache(maxsize=32)
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
