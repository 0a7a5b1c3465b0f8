"""The frame of a chart: axes with marks and names, and where values lie in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autoshrink_ray.report.axes import Axis
from autoshrink_ray.report.markup import tag
from autoshrink_ray.report.numbers import short_count

WIDTH, HEIGHT = 1030, 330
"""Size of a chart in pixels."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 68.0, 16.0, 14.0, 48.0


@dataclass(frozen=True)
class Frame:
    """Two axes.

    Attributes:
        x: Axis to the right.
        y: Axis upwards.
    """

    x: Axis
    y: Axis

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is, in pixels from the upper left corner."""
        right = _LEFT + self.x.part(x) * (WIDTH - _LEFT - _RIGHT)
        return right, HEIGHT - _BOTTOM - self.y.part(y) * (HEIGHT - _TOP - _BOTTOM)

    def drawn(self, names: tuple[str, str], *, whole: bool) -> str:
        """Grid lines, marks and the names of both axes.

        Args:
            names: Of x and y.
            whole: Whether x has marks at whole numbers only.
        """
        marks = self.x.ticks(8)
        across = [value for value in marks if not whole or value == int(value)]
        parts = [*self._rows(), *self._columns(across), *_names(names)]
        return tag("g", *parts, class_="frame", aria_hidden="true")

    def _rows(self) -> Iterator[str]:
        for value in self.y.ticks():
            _, y = self.at(self.x.low, value)
            yield tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y)
            yield tag("text", text=short_count(value), x=_LEFT - 8, y=y + 4, text_anchor="end")

    def _columns(self, marks: Sequence[float]) -> Iterator[str]:
        bottom = HEIGHT - _BOTTOM
        for value in marks:
            x, _ = self.at(value, self.y.low)
            yield tag("line", x1=x, x2=x, y1=bottom, y2=bottom + 4)
            yield tag("text", text=short_count(value), x=x, y=bottom + 19, text_anchor="middle")


def _names(names: tuple[str, str]) -> Iterator[str]:
    x, y = names
    middle = _TOP + (HEIGHT - _TOP - _BOTTOM) / 2
    across = _LEFT + (WIDTH - _LEFT - _RIGHT) / 2
    yield tag("text", text=x, x=across, y=HEIGHT - 8, text_anchor="middle", class_="name")
    turned = f"rotate(-90 14 {middle:g})"
    yield tag("text", text=y, x=14, y=middle, text_anchor="middle", class_="name", transform=turned)
