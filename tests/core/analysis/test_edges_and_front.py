"""What edges were worth, and the Pareto front."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from autoshrink_ray import run_search
from autoshrink_ray.analysis import edge_importance, pareto, round_views
from tests.contracts.scoring import failed
from tests.core.analysis.handmade import (
    CELL,
    candidates,
    evaluated,
    measured,
    run_of,
    shrink_identity,
)
from tests.core.analysis.test_rounds import table_run


def test_edges_against_the_median_of_their_round(tmp_path: Path) -> None:
    drawn = candidates(count=4)
    results = [evaluated(c, measured(0.1 * c.index)) for c in drawn[:3]]
    results.append(evaluated(drawn[3], failed()))
    found = edge_importance(run_of(tmp_path, results, identity=shrink_identity(candidates=4)), 0)
    assert (found.rounds, found.edges) == ((1,), CELL.edges)
    (row,) = found.values
    worth = dict(zip(found.edges, row, strict=True))
    removed = [c.removed for c in drawn]
    assert [worth[edge] for edge in removed[:3] if edge] == pytest.approx([-0.1, 0, 0.1])
    assert sum(map(math.isnan, row)) == 3, "two not tried, one failed"
    assert found.gone == {}, "the round is open"


def test_edges_go_when_they_are_removed_or_lead_nowhere(tmp_path: Path) -> None:
    run = run_search(table_run(str(tmp_path)))
    found = edge_importance(run, 0)
    last = run.searches[0].rounds[-1].topology
    assert set(found.gone) == set(found.edges) - set(last.edges)
    for decision in run.searches[0].rounds:
        assert decision.removed is not None
        assert found.gone[decision.removed] == decision.round
    for number, row in zip(found.rounds, found.values, strict=True):
        for edge, value in zip(found.edges, row, strict=True):
            assert math.isnan(value) or found.gone.get(edge, number) >= number


def test_a_random_search_removes_no_edge(tmp_path: Path) -> None:
    run = run_search(table_run(str(tmp_path), algorithm="random", budget=4))
    found = edge_importance(run, 0)
    assert found.gone == {}
    assert all(math.isnan(value) for row in found.values for value in row)
    assert [view.parent for view in round_views(run, 0)] == [None]


def test_the_front_takes_quality_as_it_is_meant(tmp_path: Path) -> None:
    """Less perplexity is better: 100 with one MAC, 90 with two; 95 with three is beaten."""
    values = [(100.0, 1.0), (90.0, 2.0), (95.0, 3.0)]
    results = [
        evaluated(c, measured(0, metrics={"perplexity": p, "macs": macs, "cost": 1e6}))
        for c, (p, macs) in zip(candidates(), values, strict=True)
    ]
    identity = shrink_identity(objective="perplexity", cost_weight=1.0)
    points = pareto(run_of(tmp_path, results, identity=identity))
    assert [(p.quality, p.macs) for p in points] == values
    assert [p.on_front for p in points] == [True, True, False]
    assert [p.score for p in points] == pytest.approx([25, 27.5, 26.25])


def test_the_front_has_no_copies_no_failures_and_nothing_without_macs(tmp_path: Path) -> None:
    one, two, three, four = candidates(count=4)
    twin = two.model_copy(update={"topology": one.topology})
    results = [
        evaluated(one, measured(0.5)),
        evaluated(twin, measured(0.5), cached=True, attempts=0),
        evaluated(three, failed()),
        evaluated(four, measured(0, metrics={"accuracy": 0.9})),
    ]
    (point,) = pareto(run_of(tmp_path, results))
    assert (point.search, point.round, point.index, point.on_front) == (0, 1, 0, True)
    assert point.edges == len(one.topology.edges)
