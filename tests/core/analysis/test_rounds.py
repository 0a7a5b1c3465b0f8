"""A round taken apart: order, terms, margin and spread."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.analysis import RoundView, round_view, round_views
from autoshrink_ray.errors import ConfigError
from tests.contracts.scoring import failed
from tests.core.analysis.handmade import candidates, decided, evaluated, measured, run_of
from tests.core.runs import interrupted


def table_run(folder: str, **changes: object) -> SearchConfig:
    return SearchConfig.of(
        {
            "space": "table",
            "plugins": ["tests.plugins.table"],
            "nodes": 5,
            "candidates": 4,
            "executor": "in-process",
            "tensorboard": "off",
            "storage": folder,
            "name": "run",
        }
        | changes
    )


def test_a_closed_round(tmp_path: Path) -> None:
    """0.9, 0.5 and 0.6 less 0.1 for tenfold MACs."""
    drawn = candidates()
    first = [
        evaluated(drawn[0], measured(0.5), (0, 1, 3)),
        evaluated(drawn[1], measured(0.9, 1e7), (1, 3, 9)),
        evaluated(drawn[2], measured(0.6), (2, 3, 4)),
    ]
    run = run_of(tmp_path, [*first, decided(first)])
    view = round_view(run, 0, 1)
    assert [line.candidate.index for line in view.lines] == [1, 2, 0]
    assert [line.rank for line in view.lines] == [1, 2, 3]
    assert [line.quality_term for line in view.lines] == [0.9, 0.6, 0.5]
    assert [line.cost_term for line in view.lines] == pytest.approx([0.1, 0, 0])
    assert [line.behind for line in view.lines] == pytest.approx([0, 0.2, 0.3])
    assert view.margin == pytest.approx(0.2)
    assert view.spread == pytest.approx(statistics.stdev([0.8, 0.6, 0.5]))
    assert view.seconds == 9
    assert view.winner == view.lines[0]
    assert (view.failed, view.missing) == ((), ())


def test_an_open_round_ranks_what_is_there_and_knows_what_is_to_come(tmp_path: Path) -> None:
    drawn = candidates()
    first = [evaluated(c, measured(0.5 + c.index / 10)) for c in drawn]
    end = decided(first)
    second = candidates(2, end.topology)
    open_round = [
        evaluated(second[0], failed("diverged")),
        evaluated(second[2], measured(0.7)),
    ]
    run = run_of(tmp_path, [*first, end, *open_round])
    closed, view = round_views(run, 0)
    assert closed.decision == end
    assert view.decision is None
    assert view.parent == end.topology
    assert [line.candidate for line in view.lines] == [second[2], second[0], second[1]]
    assert [line.rank for line in view.lines] == [1, None, None]
    assert [line.evaluation is None for line in view.lines] == [False, False, True]
    assert (view.margin, view.spread) == (None, None)


def test_a_round_that_nothing_of_is_evaluated_is_there_as_it_was_drawn(tmp_path: Path) -> None:
    first = [evaluated(c, measured(0.5 + c.index / 10)) for c in candidates()]
    end = decided(first)
    view = round_views(run_of(tmp_path, [*first, end]), 0)[-1]
    assert (view.number, view.seconds, view.winner) == (2, None, None)
    assert [line.candidate for line in view.missing] == candidates(2, end.topology)


def test_a_run_that_has_evaluated_nothing_has_no_rounds(tmp_path: Path) -> None:
    run = run_of(tmp_path, [])
    assert round_views(run, 0) == []
    with pytest.raises(ConfigError, match="has no round 1; none has begun"):
        round_view(run, 0, 1)


def test_a_score_that_is_not_finite_is_not_ranked(tmp_path: Path) -> None:
    drawn = candidates()
    results = [evaluated(drawn[0], measured(0.5)), evaluated(drawn[1], measured(0.9, 0.0))]
    view = round_view(run_of(tmp_path, results), 0, 1)
    assert [line.candidate.index for line in view.ranked] == [0]
    assert [line.candidate.index for line in view.failed] == [1]
    assert view.failed[0].quality_term is None


def test_a_copy_from_an_earlier_round_does_not_stretch_the_time(tmp_path: Path) -> None:
    drawn = candidates()
    results = [
        evaluated(drawn[0], measured(0.5), (100, 101, 103)),
        evaluated(drawn[1], measured(0.9), (3, 3, 3), cached=True, attempts=0),
    ]
    assert round_view(run_of(tmp_path, results), 0, 1).seconds == 3


def test_a_lost_evaluation_keeps_its_rank_and_score(tmp_path: Path) -> None:
    first = [evaluated(c, measured(0.5 + c.index / 10)) for c in candidates()]
    end = decided(first)
    run = run_of(tmp_path, [*first, end])
    (tmp_path / run.ledger.sources[0, 1, 1]).unlink()
    view = round_view(Run(str(tmp_path)), 0, 1)
    lost = view.lines[1]
    assert (lost.candidate, lost.evaluation) == (candidates()[1], None)
    assert (lost.rank, lost.score, lost.quality_term) == (2, 0.6, None)
    assert view.margin == pytest.approx(0.1)


def test_an_evaluation_made_again_does_not_say_what_was_ranked(tmp_path: Path) -> None:
    first = [evaluated(c, measured(0.5 + c.index / 10)) for c in candidates()]
    end = decided(first)
    again = evaluated(candidates()[1], measured(0.61))
    run = run_of(tmp_path, [*first, end], [again])
    (tmp_path / "ledger/search-000/0001-hand/round-001-candidate-0001.json").unlink()
    run = Run(str(tmp_path))
    assert run.ledger.remade == {(0, 1, 1)}
    line = round_view(run, 0, 1).lines[1]
    assert (line.evaluation, line.score, line.quality_term) == (again, 0.6, None)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_decision_that_ranks_what_no_policy_ranks_is_read(tmp_path: Path, wrong: float) -> None:
    first = [evaluated(c, measured(0.5 + c.index / 10)) for c in candidates()]
    end = decided(first)
    last = end.ranking[2].model_copy(update={"score": wrong})
    forged = end.model_copy(update={"ranking": (*end.ranking[:2], last)})
    view = round_view(run_of(tmp_path, [*first, forged]), 0, 1)
    assert [line.rank for line in view.lines] == [1, 2, None]
    assert view.spread == pytest.approx(statistics.stdev([0.6, 0.7]))


@pytest.mark.parametrize(
    ("search", "number", "message"),
    [
        (0, 2, r"search 0 of run 'hand' has no round 2; choose one of 1$"),
        (0, -1, "choose one of 1$"),
        (1, 1, "run 'hand' has no search 1; choose one of 0$"),
        (-1, 1, "has no search -1"),
    ],
)
def test_no_such_round(tmp_path: Path, search: int, number: int, message: str) -> None:
    run = run_of(tmp_path, [evaluated(candidates()[0], measured(0.5))])
    with pytest.raises(ConfigError, match=message):
        round_view(run, search, number)


def check(view: RoundView, run: Run) -> None:
    """What holds for every round, open or closed."""
    for line in view.ranked:
        assert line.quality_term is not None
        assert line.cost_term is not None
        assert line.score is not None
        assert math.isclose(line.quality_term - line.cost_term, line.score, abs_tol=1e-12)
        assert line.behind == view.scores[0] - line.score
    assert [line.rank for line in view.ranked] == list(range(1, len(view.ranked) + 1))
    assert len(view.lines) == len(view.ranked) + len(view.failed) + len(view.missing)
    if view.decision is not None:
        order = [line.candidate.index for line in view.ranked]
        assert order == [line.index for line in view.decision.ranking]
        assert view.missing == ()
        assert view.winner is not None
        assert view.winner.candidate.topology == view.decision.topology


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    algorithm=st.sampled_from(["shrink", "random"]),
    stop_at=st.none() | st.integers(1, 8),
)
def test_every_round_is_ranked_as_the_policy_ranked_it(
    seed: int, algorithm: str, stop_at: int | None
) -> None:
    with TemporaryDirectory() as folder:
        budget = {"budget": 9} if algorithm == "random" else {}
        config = table_run(folder, seed=seed, algorithm=algorithm, **budget)
        if stop_at is None:
            run = run_search(config)
        else:
            interrupted(config, stop_at)
            run = Run("run", folder)
        views = round_views(run, 0)
        assert [view.decision for view in views if view.decision] == run.searches[0].rounds
        for view in views:
            check(view, run)


@pytest.mark.parametrize("algorithm", ["shrink", "random"])
def test_what_is_to_come_is_what_comes(tmp_path: Path, algorithm: str) -> None:
    budget = {"budget": 9} if algorithm == "random" else {}
    config = table_run(str(tmp_path), algorithm=algorithm, **budget)
    interrupted(config, 2)
    foreseen = [line.candidate for line in round_view(Run("run", str(tmp_path)), 0, 1).lines]
    whole = run_search(config)
    assert len(foreseen) == budget.get("budget", 4)
    tried = {line.candidate.index: line.candidate for line in round_view(whole, 0, 1).lines}
    assert {candidate.index: candidate for candidate in foreseen} == tried
