"""What is said to be left of a search is never too little, and what is there is counted exactly."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray import Decision, Evaluation, RunObserver, SearchConfig, run_search
from autoshrink_ray.conductor import Conductor
from autoshrink_ray.ledger import LedgerContents, MemoryLedger
from autoshrink_ray.plan import Plan
from autoshrink_ray.standing import Snapshot, Standing
from tests.contracts.drivers import work_off
from tests.contracts.scoring import complete, measure_all


def plan(**changes: Any) -> Plan:
    settings = {"space": "table", "plugins": ("tests.plugins.table",), **changes}
    return Plan.of(SearchConfig.of(settings))


class Watcher(RunObserver):
    """Takes a snapshot after everything it hears, one second apart."""

    def __init__(self, planned: Plan, known: LedgerContents | None = None) -> None:
        self.standing = Standing(planned, known or LedgerContents())
        self.seen = [self.standing.snapshot(0)]

    def on_evaluation(self, evaluation: Evaluation) -> None:
        self.standing.evaluated(evaluation, now=len(self.seen))
        self._look()

    def on_decision(self, decision: Decision) -> None:
        self.standing.decided(decision)
        self._look()

    def _look(self) -> None:
        self.seen.append(self.standing.snapshot(len(self.seen)))


def searched(planned: Plan) -> tuple[list[Snapshot], MemoryLedger]:
    """Snapshots of a run from its beginning to its end, and its ledger."""
    watcher, ledger = Watcher(planned), MemoryLedger()
    searches = dict(enumerate(planned.searches()))
    work_off(Conductor(searches, ledger, [watcher]), measure_all)
    return watcher.seen, ledger


SETTINGS = st.one_of(
    st.fixed_dictionaries(
        {
            "nodes": st.integers(2, 6),
            "candidates": st.integers(1, 5),
            "keep_fraction": st.floats(0.01, 0.9),
            "searches": st.integers(1, 3),
            "seed": st.integers(0, 100),
        }
    ),
    st.fixed_dictionaries(
        {"algorithm": st.just("random"), "nodes": st.integers(2, 5), "budget": st.integers(1, 12)}
    ),
)


@given(SETTINGS)
def test_what_is_left_is_never_too_little_and_only_shrinks(settings: dict[str, Any]) -> None:
    seen, ledger = searched(plan(**settings))
    evaluated = len(ledger.evaluations)
    assert [seen[-1].left, seen[-1].done, seen[-1].rounds] == [0, evaluated, ()]
    for snapshot in seen:
        assert snapshot.left >= evaluated - snapshot.done
        assert not snapshot.is_exact or snapshot.left == evaluated - snapshot.done
    for before, after in pairwise(seen):
        assert (after.done, -after.left) >= (before.done, -before.left)
        assert after.done + after.left <= before.done + before.left


@given(SETTINGS)
def test_rounds_have_as_many_candidates_as_are_drawn(settings: dict[str, Any]) -> None:
    seen, ledger = searched(plan(**settings))
    drawn: dict[tuple[int, int], int] = {}
    for evaluation in ledger.evaluations:
        place = evaluation.candidate.place[:2]
        drawn[place] = drawn.get(place, 0) + 1
    sizes = {(r.search, r.round): r.size for snapshot in seen for r in snapshot.rounds}
    assert sizes == drawn


@given(SETTINGS, st.data())
def test_a_run_that_goes_on_stands_where_it_was(settings: dict[str, Any], data: Any) -> None:
    planned = plan(**settings)
    seen, ledger = searched(planned)
    cut = data.draw(st.integers(0, len(ledger.evaluations)))
    kept = ledger.evaluations[:cut]
    contents = LedgerContents(evaluations={e.candidate.place: e for e in kept})
    conductor = Conductor(dict(enumerate(planned.searches())), decided := MemoryLedger())
    conductor.replay(contents)
    decisions = {(d.search, d.round): d for d in decided.decisions}
    both = LedgerContents(evaluations=contents.evaluations, decisions=decisions)
    stands = Standing(planned, both).snapshot(0)
    same = [s for s in seen if (s.rounds, s.best) == (stands.rounds, stands.best)]
    assert (stands.done, stands.left) in [(s.done, s.left) for s in same]


def test_results_that_were_taken_over_give_no_pace() -> None:
    planned = plan(nodes=4, candidates=3)
    search = planned.searches()[0]
    first, second, _ = search.policy.propose()
    standing = Standing(planned, LedgerContents())
    result = complete(0.5).model_copy(update={"seconds": 2.0})
    standing.evaluated(Evaluation(candidate=first, seed=0, measurement=result, cached=True), 50.0)
    assert (standing.snapshot(50.0).eta, standing.snapshot(50.0).trained) == (None, 0)
    standing.evaluated(Evaluation(candidate=second, seed=0, measurement=result), 60.0)
    snapshot = standing.snapshot(60.0)
    assert snapshot.eta == pytest.approx(2.0 * snapshot.left)
    assert snapshot.trained == 1


def test_a_longer_search_goes_on_where_the_shorter_one_ended(tiny: SearchConfig) -> None:
    short = run_search(tiny, keep_fraction=0.5)
    assert (
        Standing(Plan.of(tiny.model_copy(update={"keep_fraction": 0.5})), short.ledger)
        .snapshot(0)
        .rounds
        == ()
    )
    longer = Standing(Plan.of(tiny), short.ledger).snapshot(0)
    assert [r.round for r in longer.rounds] == [len(short.searches[0].rounds) + 1]
    assert longer.left > 0
