"""What each edge was worth: how the cell did without it, round by round."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from autoshrink_ray.analysis.rounds import RoundView, round_views
from autoshrink_ray.results import Run
from autoshrink_ray.topology import Edge, Topology


@dataclass(frozen=True)
class EdgeImportance:
    """A matrix of rounds and edges.

    Attributes:
        search: The search's number in its run.
        rounds: The rounds that have begun: the rows.
        edges: The complete cell's edges: the columns.
        values: For each round and edge: score of the candidate without the edge, minus the median
            score of the round. Above 0 the cell can do without the edge, below 0 it needs it more
            than others. NaN where the edge was not tried, its candidate failed, or it is gone.
        gone: Round in which an edge went: because it was removed, or because nothing led to it
            any more. Edges of the last cell are not in it.
    """

    search: int
    rounds: tuple[int, ...]
    edges: tuple[Edge, ...]
    values: tuple[tuple[float, ...], ...]
    gone: Mapping[Edge, int]


def edge_importance(run: Run, search: int) -> EdgeImportance:
    """What each edge was worth in a search; all NaN in a random search, which removes none.

    Raises:
        ConfigError: If the run has no such search.
    """
    views = round_views(run, search)
    nodes = run.file.identity["nodes"]
    edges = Topology.complete(("any",) * nodes).edges
    return EdgeImportance(
        search=search,
        rounds=tuple(view.number for view in views),
        edges=edges,
        values=tuple(_row(view, edges) for view in views),
        gone=_gone(views),
    )


def _row(view: RoundView, edges: tuple[Edge, ...]) -> tuple[float, ...]:
    without = {line.candidate.removed: line.score for line in view.ranked if line.score is not None}
    middle = statistics.median(without.values()) if without else math.nan
    return tuple(without.get(edge, math.nan) - middle for edge in edges)


def _gone(views: list[RoundView]) -> dict[Edge, int]:
    return {
        edge: view.number
        for view in views
        if view.decision is not None and view.parent is not None
        for edge in view.parent.edges
        if edge not in view.decision.topology.edges
    }
