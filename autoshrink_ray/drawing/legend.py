"""What the colours and marks of a picture mean, in rows below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoshrink_ray.drawing import colours
from autoshrink_ray.drawing.scene import Box, Curve, Placement, Point, Shape, Text, text_width

ROW = 24.0
"""Height of a row in pixels."""

_SIZE, _SPACE, _SWATCH = 11.5, 20.0, 18.0
_STEPS = 24


@dataclass(frozen=True)
class Entry:
    """A mark and what it means, drawn at the left end of its middle height.

    Attributes:
        shapes: Mark and text.
        width: Width in pixels.
    """

    shapes: tuple[Shape, ...]
    width: float


def box_entry(text: str, fill: str, stroke: str, *, ring: bool = False) -> Entry:
    """A node's look and its meaning."""
    box = Box((2, -5.5), _SWATCH - 4, 11, 3.5, fill, stroke, 1.4, "swatch")
    around = Box((-0.5, -8), _SWATCH + 1, 16, 5.5, "none", colours.INK, 1.2, "swatch")
    return _entry((around, box) if ring else (box,), text)


def line_entry(text: str, shapes: tuple[Shape, ...]) -> Entry:
    """An edge's look, 18 pixels long from the origin, and its meaning."""
    return _entry(shapes, text)


def edge_line(stroke: str, line: float) -> tuple[Shape, ...]:
    """A short piece of an edge."""
    points: tuple[Point, ...] = ((0, 0), (6, 0), (12, 0), (_SWATCH, 0))
    return (Curve(points, stroke, line, role="swatch"),)


def scale_entry(low: float, high: float) -> Entry:
    """Colours from the lowest to the highest value; one value has one colour."""
    if low == high:
        return _entry(edge_line(colours.on_scale(1.0), 3.0), f"score {high:.4g}")
    left, right = (f"{value:.4g}" for value in (low, high))
    start = text_width("score", _SIZE) + text_width(left, _SIZE) + 14
    step = 4.0
    bar = tuple(
        Box((start + index * step, -5), step + 0.5, 10, 0, colours.on_scale(index / (_STEPS - 1)))
        for index in range(_STEPS)
    )
    end = start + _STEPS * step + 8
    texts = (
        Text((0, 0), "score", _SIZE, colours.QUIET),
        Text((start - text_width(left, _SIZE) - 6, 0), left, _SIZE, colours.INK),
        Text((end, 0), right, _SIZE, colours.INK),
    )
    return Entry((*bar, *texts), end + text_width(right, _SIZE))


def _entry(mark: tuple[Shape, ...], text: str) -> Entry:
    label = Text((_SWATCH + 7, 0), text, _SIZE, colours.INK, role="legend")
    return Entry((*mark, label), _SWATCH + 7 + text_width(text, _SIZE))


def legend(entries: Sequence[Entry], width: float) -> tuple[tuple[Shape, ...], int]:
    """Entries side by side, in as many rows as they need.

    Args:
        entries: What is explained.
        width: Width of a row in pixels.

    Returns:
        Shapes, the upper left corner at the origin, and the number of rows.
    """
    shapes: list[Shape] = []
    x, row = 0.0, 0
    for entry in entries:
        if x and x + entry.width > width:
            x, row = 0.0, row + 1
        place = Placement(1, x, (row + 0.5) * ROW)
        shapes += [shape.placed(place) for shape in entry.shapes]
        x += entry.width + _SPACE
    return tuple(shapes), row + 1
