"""The cells that a search went through, from the complete one to the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoshrink_ray.analysis import RoundView
from autoshrink_ray.drawing import cell_picture
from autoshrink_ray.report.numbers import points
from autoshrink_ray.results import SearchResult
from autoshrink_ray.topology import Edge, Topology
from autoshrink_ray.wording import edge, plural


@dataclass(frozen=True)
class Shot:
    """One picture of a film.

    Attributes:
        heading: Which cell it is.
        note: Its size, its score, and what goes next.
        svg: The cell, the edge that goes next marked.
        width: Width of the picture in pixels.
        best: Whether it is the search's best cell.
    """

    heading: str
    note: str
    svg: str
    width: int
    best: bool


def film(search: SearchResult, views: Sequence[RoundView], most: int) -> list[Shot]:
    """The film of a search; none where it has no decided round, or cells have no parent.

    Args:
        search: The search.
        views: Its rounds.
        most: Pictures at most; of more some are left out, evenly, never the best cell's and
            the last one's.
    """
    cells = list(_cells(views))
    best = search.best
    marked = None if best is None else best.round
    kept = kept_cells([number for number, *_ in cells], marked, most)
    return [
        _shot(number, cell, score, goes, best=number == marked)
        for number, cell, score, goes in cells
        if number in kept
    ]


_Cell = tuple[int, Topology, float | None, Edge | None]
"""Round that gave a cell, 0 for the complete one; the cell; its score; the edge that goes next."""


def _cells(views: Sequence[RoundView]) -> list[_Cell]:
    cells: list[_Cell] = []
    for view in views:
        decision = view.decision
        if decision is None or view.parent is None:
            continue
        number, _, score, _ = cells.pop() if cells else (view.number - 1, None, None, None)
        cells.append((number, view.parent, score, decision.removed))
        cells.append((view.number, decision.topology, decision.score, None))
    return cells


def kept_cells(numbers: Sequence[int], best: int | None, most: int) -> set[int]:
    """The cells of a film of at most so many pictures, at least 3, by the number of their round."""
    if len(numbers) <= most:
        return set(numbers)
    places = (place * len(numbers) // max(1, most - 2) for place in range(most - 2))
    return {numbers[place] for place in places} | {numbers[-1], best or numbers[-1]}


def _shot(number: int, cell: Topology, score: float | None, goes: Edge | None, best: bool) -> Shot:
    note = plural(len(cell.edges), "edge")
    if score is not None:
        note += f", score {points(score)}"
    if goes is not None:
        note += f"; {edge(goes)} goes next"
    heading = f"After round {number}" if number else "The complete cell"
    picture = cell_picture(cell, removed=goes)
    return Shot(heading, note, picture.svg(), picture.width, best)
