"""A scene as SVG that stands alone or inside an HTML page.

No identifiers, styles or scripts, so any number of pictures fit on one page. Colours are
attributes and each element's class says what it is: a page can set others by CSS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from autoshrink_ray.drawing.scene import Box, Curve, Point, Polygon, Shape, Text, printable

_FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_svg(width: int, height: int, title: str, description: str, shapes: Sequence[Shape]) -> str:
    """The SVG document.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        title: What the picture is called.
        description: The picture in words.
        shapes: What is drawn, from back to front.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cell-picture" role="img" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="{quoted(_FONT)}">'
    )
    words = f"<title>{quoted(title)}</title>\n<desc>{quoted(description)}</desc>"
    return "\n".join([head, words, *map(_element, shapes), "</svg>\n"])


def _element(shape: Shape) -> str:
    if isinstance(shape, Box):
        return _box(shape)
    if isinstance(shape, Curve):
        return _curve(shape)
    if isinstance(shape, Polygon):
        points = " ".join(map(_point, shape.points))
        return f'<polygon class="{shape.role}" points="{points}" fill="{shape.fill}"/>'
    return _text(shape)


def _box(box: Box) -> str:
    x, y = box.corner
    return _with_tip(
        f'rect class="{box.role}" x="{_number(x)}" y="{_number(y)}" width="{_number(box.width)}" '
        f'height="{_number(box.height)}" rx="{_number(box.radius)}" fill="{box.fill}" '
        f'stroke="{box.stroke}" stroke-width="{_number(box.line)}"',
        box.tip,
    )


def _curve(curve: Curve) -> str:
    first, *others = map(_point, curve.points)
    dash = f' stroke-dasharray="{" ".join(map(_number, curve.dash))}"' if curve.dash else ""
    return _with_tip(
        f'path class="{curve.role}" d="M{first} C{" ".join(others)}" fill="none" '
        f'stroke="{curve.stroke}" stroke-width="{_number(curve.line)}"{dash}',
        curve.tip,
    )


def _text(text: Text) -> str:
    x, y = text.at
    return (
        f'<text class="{text.role}" x="{_number(x)}" y="{_number(y + 0.35 * text.size)}" '
        f'font-size="{_number(text.size)}" text-anchor="{text.anchor}" fill="{text.fill}">'
        f"{quoted(printable(text.text))}</text>"
    )


def _with_tip(element: str, tip: str) -> str:
    name = element.partition(" ")[0]
    return f"<{element}><title>{quoted(tip)}</title></{name}>" if tip else f"<{element}/>"


def quoted(text: str) -> str:
    """Text as XML, with a mark in place of what XML cannot hold."""
    return escape(_NOT_XML.sub("\ufffd", text))


def _point(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    return f"{round(value, 2):g}" if abs(value) < 1e4 else f"{value:.2f}"
