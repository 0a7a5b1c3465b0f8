"""What a picture consists of: a few frozen shapes. Lengths are pixels, y grows downwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

Point = tuple[float, float]


@dataclass(frozen=True)
class Placement:
    """A scale and then a shift."""

    scale: float
    dx: float
    dy: float

    def __call__(self, point: Point) -> Point:
        return self.scale * point[0] + self.dx, self.scale * point[1] + self.dy


@dataclass(frozen=True)
class Box:
    """A rectangle with round corners.

    Attributes:
        corner: Its upper left corner.
        width: Width.
        height: Height.
        radius: Radius of the corners.
        fill: Colour inside, `#rrggbb`, or `none`.
        stroke: Colour of the outline, or `none`.
        line: Width of the outline, which lies half inside and half outside.
        role: What it is, in one word: the class of the SVG element.
        tip: What a pointer shows, if anything.
    """

    corner: Point
    width: float
    height: float
    radius: float
    fill: str
    stroke: str = "none"
    line: float = 0.0
    role: str = "box"
    tip: str = ""

    def placed(self, place: Placement) -> Box:
        """The same elsewhere."""
        return replace(
            self,
            corner=place(self.corner),
            width=self.width * place.scale,
            height=self.height * place.scale,
            radius=self.radius * place.scale,
            line=self.line * place.scale,
        )


@dataclass(frozen=True)
class Curve:
    """Joined cubic Bezier curves.

    Attributes:
        points: Control points, 3 n + 1 of them.
        stroke: Colour, `#rrggbb`.
        line: Width.
        dash: Lengths of dashes and of the gaps between; None for a full line.
        role: What it is, in one word: the class of the SVG element.
        tip: What a pointer shows, if anything.
    """

    points: tuple[Point, ...]
    stroke: str
    line: float
    dash: tuple[float, float] | None = None
    role: str = "curve"
    tip: str = ""

    def placed(self, place: Placement) -> Curve:
        """The same elsewhere."""
        dash = (self.dash[0] * place.scale, self.dash[1] * place.scale) if self.dash else None
        points = tuple(map(place, self.points))
        return replace(self, points=points, line=self.line * place.scale, dash=dash)


@dataclass(frozen=True)
class Polygon:
    """A filled polygon: an arrow head.

    Attributes:
        points: Its corners.
        fill: Colour, `#rrggbb`.
        role: What it is, in one word: the class of the SVG element.
    """

    points: tuple[Point, ...]
    fill: str
    role: str = "polygon"

    def placed(self, place: Placement) -> Polygon:
        """The same elsewhere."""
        return replace(self, points=tuple(map(place, self.points)))


@dataclass(frozen=True)
class Text:
    """One line of text.

    Attributes:
        at: Left end or middle, by `anchor`, of the line's middle height.
        text: What it says.
        size: Size of the font.
        fill: Colour, `#rrggbb`.
        anchor: `start` or `middle`.
        role: What it is, in one word: the class of the SVG element.
    """

    at: Point
    text: str
    size: float
    fill: str
    anchor: str = "start"
    role: str = "text"

    def placed(self, place: Placement) -> Text:
        """The same elsewhere."""
        return replace(self, at=place(self.at), size=self.size * place.scale)


Shape = Box | Curve | Polygon | Text


def printable(text: str) -> str:
    """Text for one line of a picture: a mark in place of what has no look."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def text_width(text: str, size: float) -> float:
    """About how wide a line of text is, rather more than less: fonts differ."""
    return size * sum(_character_width(character) for character in text)


def _character_width(character: str) -> float:
    if ord(character) > 0x2E7F:  # where the square scripts begin
        return 1.0
    if character in "iljtf.,:;|!'()[] ":
        return 0.34
    return 0.85 if character in "mwMW@%" or character.isupper() else 0.58


def arrow_head(tip: Point, length: float, width: float) -> tuple[Point, ...]:
    """Corners of an arrow head that points to the right."""
    x, y = tip
    return (tip, (x - length, y - width / 2), (x - length, y + width / 2))


def on_curve(points: Sequence[Point], steps: int = 16) -> list[Point]:
    """Points along joined Bezier curves, ends included: `steps` on each, one where it is level."""
    found = [points[0]]
    for start in range(0, len(points) - 1, 3):
        piece = points[start : start + 4]
        if len({y for _, y in piece}) == 1:
            found.append(piece[3])
        else:
            found += _along(piece, steps)
    return found


@lru_cache
def _weights(steps: int) -> list[tuple[float, float, float, float]]:
    """Bernstein polynomials of degree 3 at equal steps, without the first."""
    parts = [step / steps for step in range(1, steps + 1)]
    return [((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t**3) for t in parts]


def _along(piece: Sequence[Point], steps: int) -> list[Point]:
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = piece
    return [
        (p * ax + q * bx + r * cx + s * dx, p * ay + q * by + r * cy + s * dy)
        for p, q, r, s in _weights(steps)
    ]
