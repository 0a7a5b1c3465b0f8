"""What each edge was worth, as a heat map in SVG: edges downwards, rounds to the right.

The style sheet gives the colours, by class: `p1` to `p4` above the median of the round, `n1` to
`n4` below it, `p0` at it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autoshrink_ray.analysis import EdgeImportance, RoundView, edge_importance
from autoshrink_ray.report.markup import tag
from autoshrink_ray.report.numbers import points
from autoshrink_ray.results import SearchResult
from autoshrink_ray.topology import Edge
from autoshrink_ray.wording import edge, plural

STEPS = 4
"""Colours on each side of the median."""

_CELL_WIDTH, _CELL_HEIGHT, _GAP = 27, 20, 1
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 40, 8, 6
_CROSS, _BAR = 5, 3


@dataclass(frozen=True)
class HeatMap:
    """A search's map.

    Attributes:
        svg: The picture.
        most: Where the scale ends: the largest distance from a median.
        cells: Candidates that it shows.
        failed: Whether some of them failed.
    """

    svg: str
    most: str
    cells: int
    failed: bool


def heat_map(search: SearchResult, views: Sequence[RoundView]) -> HeatMap | None:
    """The map of a search; None where no edge's worth is known.

    Args:
        search: The search.
        views: Its rounds.
    """
    found = edge_importance(search.run, search.number)
    known = [value for row in found.values for value in row if math.isfinite(value)]
    if not known:
        return None
    drawn = _Map(found, views, max(map(abs, known)))
    cells = len(known) + len(drawn.failed)
    return HeatMap(drawn.svg(), points(drawn.most), cells, failed=bool(drawn.failed))


class _Map:
    """A map while it is drawn.

    Args:
        found: The numbers.
        views: The same rounds.
        most: Largest distance of a number from 0.
    """

    def __init__(self, found: EdgeImportance, views: Sequence[RoundView], most: float) -> None:
        self.most = most
        self._found = found
        self._rows = {pair: row for row, pair in enumerate(found.edges)}
        self._columns = {number: column for column, number in enumerate(found.rounds)}
        self.failed = {
            (view.number, line.candidate.removed)
            for view in views
            for line in view.failed
            if line.candidate.removed in self._rows
        }
        self._removed = [
            (view.number, view.decision.removed)
            for view in views
            if view.decision is not None and view.decision.removed in self._rows
        ]

    def svg(self) -> str:
        width = _LEFT + len(self._columns) * _CELL_WIDTH + _RIGHT
        height = _TOP + len(self._rows) * _CELL_HEIGHT + _BOTTOM
        return tag(
            "svg",
            tag("g", *self._names(), aria_hidden="true"),
            *self._gone(),
            self._untried(),
            *self._cells(),
            *self._crosses(),
            class_="heat",
            role="img",
            aria_label=self._told(),
            viewBox=f"0 0 {width} {height}",
            width=width,
            height=height,
        )

    def _told(self) -> str:
        order = ", ".join(f"{edge(pair)} in round {number}" for number, pair in self._removed)
        return (
            f"What each edge of search {self._found.search} was worth: "
            f"{plural(len(self._rows), 'edge')}, {plural(len(self._columns), 'round')}. "
            f"Removed: {order or 'none yet'}."
        )

    def _names(self) -> Iterator[str]:
        yield tag("text", text="round", x=_LEFT, y=14, class_="name")
        yield tag("text", text="edge", x=_LEFT - 8, y=_TOP - 8, text_anchor="end", class_="name")
        for number, column in self._columns.items():
            middle = _LEFT + (column + 0.5) * _CELL_WIDTH
            yield tag("text", text=str(number), x=middle, y=_TOP - 8, text_anchor="middle")
        for pair, row in self._rows.items():
            low = _TOP + row * _CELL_HEIGHT + 14.5
            yield tag("text", text=edge(pair), x=_LEFT - 8, y=low, text_anchor="end")

    def _corner(self, number: int, pair: Edge) -> tuple[int, int]:
        return (
            _LEFT + self._columns[number] * _CELL_WIDTH,
            _TOP + self._rows[pair] * _CELL_HEIGHT,
        )

    def _middle(self, number: int, pair: Edge) -> tuple[float, float]:
        x, y = self._corner(number, pair)
        return x + _CELL_WIDTH / 2, y + _CELL_HEIGHT / 2

    def _gone(self) -> Iterator[str]:
        """A thin bar from the round after the edge's last one on."""
        for pair, number in self._found.gone.items():
            later = [other for other in self._columns if other > number]
            if later and pair in self._rows:
                x, y = self._corner(min(later), pair)
                width, top = len(later) * _CELL_WIDTH - _GAP, y + (_CELL_HEIGHT - _BAR) / 2
                yield tag("rect", x=x, y=top, width=width, height=_BAR, class_="gone")

    def _untried(self) -> str:
        """A dot wherever an edge was there and nobody tried the cell without it."""
        dots = [
            "M{:g},{:g}h0".format(*self._middle(number, pair))
            for number, values in zip(self._columns, self._found.values, strict=True)
            for pair, value in zip(self._rows, values, strict=True)
            if not math.isfinite(value)
            and (number, pair) not in self.failed
            and number <= self._found.gone.get(pair, number)
        ]
        return tag("path", d="".join(dots), class_="untried") if dots else ""

    def _cells(self) -> Iterator[str]:
        for number, values in zip(self._columns, self._found.values, strict=True):
            for pair, value in zip(self._rows, values, strict=True):
                if math.isfinite(value):
                    tip = f"{points(value, signed=True)} from the median"
                    yield self._cell(number, pair, self._colour(value), tip)
                elif (number, pair) in self.failed:
                    yield self._cell(number, pair, "failed", "the candidate failed")

    def _colour(self, value: float) -> str:
        step = round(STEPS * value / self.most) if self.most else 0
        return f"{'n' if step < 0 else 'p'}{abs(step)}"

    def _cell(self, number: int, pair: Edge, kind: str, tip: str) -> str:
        x, y = self._corner(number, pair)
        gone = ", removed" if (number, pair) in self._removed else ""
        title = tag("title", text=f"Round {number}, without {edge(pair)}: {tip}{gone}")
        width, height = _CELL_WIDTH - _GAP, _CELL_HEIGHT - _GAP
        return tag("rect", title, x=x, y=y, width=width, height=height, class_=kind)

    def _crosses(self) -> Iterator[str]:
        for number, pair in self._removed:
            x, y = self._middle(number, pair)
            x, y = x - _GAP / 2, y - _GAP / 2
            lines = "".join(
                f"M{x - _CROSS:g},{y - side * _CROSS:g}L{x + _CROSS:g},{y + side * _CROSS:g}"
                for side in (1, -1)
            )
            yield tag("path", d=lines, class_="under") + tag("path", d=lines, class_="cross")
