"""A whole search as one trial: what was reported is never trained again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.conductor import Conductor, Search, Trip
from autoshrink_ray.dispatch import SearchDispatcher
from autoshrink_ray.errors import RetriesExhaustedError
from autoshrink_ray.ledger import LedgerContents, MemoryLedger
from autoshrink_ray.work import Outcome, Work
from tests.contracts.drivers import by_loop
from tests.contracts.policies import searches, shrink
from tests.contracts.scoring import (
    Score,
    accuracy_of,
    complete,
    macs_of,
    measure_all,
    out_of_memory,
)
from tests.core.dispatching import FAN, Driver, fan_searches, report_next


class Trial:
    """What runs inside such a trial: a copy of the search that asks for one candidate a step."""

    def __init__(self, work: Work, found: dict[int, Search], score: Score = measure_all) -> None:
        assert work.search is not None
        self._conductor = Conductor({work.search: found[work.search]}, MemoryLedger())
        known = {evaluation.candidate.place: evaluation for evaluation in work.known}
        self._conductor.replay(LedgerContents(evaluations=known))
        self._search = work.search
        self._score = score

    def steps(self) -> Iterator[list[Outcome]]:
        while missing := self._conductor.missing(self._search):
            candidate = missing[0]
            seed = self._conductor.searches[self._search].seed_of(candidate)
            result = self._score(candidate.topology, seed)
            outcome = Outcome(
                candidate=candidate, measurement=result, started=1, ended=2, node="there"
            )
            yield [outcome]
            self._conductor.accept(candidate, result, Trip())


def whole(*seeds: int, max_retries: int = 3, known: LedgerContents | None = None) -> Driver:
    return Driver(
        searches(shrink, *seeds), kind=SearchDispatcher, max_retries=max_retries, known=known
    )


def decisions(driver: Driver) -> list[object]:
    return [search.policy.decisions for search in driver.conductor.searches.values()]


def expected_decisions(*seeds: int) -> list[object]:
    expected = searches(shrink, *seeds)
    by_loop(expected, measure_all)
    return [search.policy.decisions for search in expected.values()]


def test_each_search_is_one_assignment() -> None:
    driver = whole(0, 1)
    assert [driver.next().work, driver.next().work] == [Work(search=0), Work(search=1)]
    assert driver.dispatcher.next() is None


def test_an_assignment_is_over_when_its_search_is() -> None:
    driver = whole(0, 1)
    for number in (0, 1):
        assignment = driver.next()
        steps = Trial(assignment.work, searches(shrink, 0, 1)).steps()
        over = [driver.dispatcher.report(assignment.number, step) for step in steps]
        assert over == [False] * (len(over) - 1) + [True]
        assert driver.conductor.searches[number].policy.finished
    assert driver.dispatcher.finished
    assert decisions(driver) == expected_decisions(0, 1)


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.sampled_from([0, 9]))
def test_a_search_that_is_lost_goes_on_from_what_it_had_reported(
    lengths: list[int], seed: int
) -> None:
    """The trial dies after so many reports, again and again."""
    driver = whole(seed)
    for length in lengths:
        assignment = driver.next()
        assert list(assignment.work.known) == driver.conductor.recorded(0)
        steps = Trial(assignment.work, searches(shrink, seed)).steps()
        reported = [
            driver.dispatcher.report(assignment.number, step)
            for step, _ in zip(steps, range(length), strict=False)
        ]
        if reported[-1]:
            break
        driver.lose(assignment)
    else:
        assignment = driver.next()
        for step in Trial(assignment.work, searches(shrink, seed)).steps():
            driver.dispatcher.report(assignment.number, step)
    places = [evaluation.candidate.place for evaluation in driver.evaluations]
    assert len(set(places)) == len(places), "nothing was trained twice"
    assert decisions(driver) == expected_decisions(seed)


def test_an_evaluation_resets_a_searchs_count_of_losses() -> None:
    driver = whole(0, max_retries=1)
    assignment = driver.next()
    for _ in range(3):
        driver.lose(assignment)
        assignment = driver.next()
        report_next(driver, assignment)
        report_next(driver, assignment)
    assert [e.attempts for e in driver.evaluations] == [2, 1] * 3


def test_a_search_that_is_lost_too_often_ends_the_run() -> None:
    driver = whole(0, 1, max_retries=1)
    driver.next()
    second = driver.next()
    driver.lose(second)
    with pytest.raises(RetriesExhaustedError, match=r"the trial of search 1 was lost 2 times"):
        driver.lose(driver.next())


def test_a_restarted_run_hands_out_unfinished_searches_with_what_they_have() -> None:
    one = whole(0, 1)
    first, second = one.next(), one.next()
    for step in Trial(first.work, searches(shrink, 0, 1)).steps():
        one.dispatcher.report(first.number, step)
    for step, _ in zip(Trial(second.work, searches(shrink, 0, 1)).steps(), range(4), strict=False):
        one.dispatcher.report(second.number, step)
    known = LedgerContents(
        evaluations={e.candidate.place: e for e in one.evaluations},
        decisions={(d.search, d.round): d for d in one.ledger.decisions},
    )
    two = whole(0, 1, known=known)
    rest = two.next()
    assert two.dispatcher.next() is None
    assert rest.work.search == 1
    assert list(rest.work.known) == [e for e in one.evaluations if e.candidate.search == 1]
    for step in Trial(rest.work, searches(shrink, 0, 1)).steps():
        two.dispatcher.report(rest.number, step)
    assert decisions(two) == expected_decisions(0, 1)


@pytest.mark.parametrize("measured", [measure_all, lambda topology, seed: complete(0.999)])
@given(holes=st.sets(st.integers(0, 30), min_size=1, max_size=4))
def test_a_trial_that_fills_holes_starts_again_with_what_lies_behind_them(
    measured: Score, holes: set[int]
) -> None:
    """The driver moves on through the rounds that it knows, and the trial cannot follow."""
    one = whole(0)
    first = one.next()
    for step in Trial(first.work, searches(shrink, 0)).steps():
        one.dispatcher.report(first.number, step)
    kept = [e for number, e in enumerate(one.evaluations) if number not in holes]
    lost = [e.candidate for e in one.evaluations if e not in kept]
    known = LedgerContents(
        evaluations={e.candidate.place: e for e in kept},
        decisions={(d.search, d.round): d for d in one.ledger.decisions},
    )
    two = whole(0, known=known)
    while (assignment := two.dispatcher.next()) is not None:
        for step in Trial(assignment.work, searches(shrink, 0), measured).steps():
            if two.dispatcher.report(assignment.number, step):
                break
    assert two.dispatcher.finished
    assert [e.candidate for e in two.evaluations] == lost, "each is measured once"
    assert two.ledger.decisions == []


def test_a_trial_that_did_not_know_of_a_rounds_end_is_not_heard_further() -> None:
    """One report can hold a copy that closes a round, and what the trial made of the next."""
    one = whole(0)
    first = one.next()
    for step in Trial(first.work, searches(shrink, 0)).steps():
        one.dispatcher.report(first.number, step)
    (lost, *_), later = one.evaluations, one.evaluations[3]
    known = LedgerContents(
        evaluations={e.candidate.place: e for e in one.evaluations if e is not lost},
        decisions={(d.search, d.round): d for d in one.ledger.decisions},
    )
    two = whole(0, known=known)
    step = [
        Outcome(
            candidate=e.candidate,
            measurement=e.measurement,
            started=1,
            ended=2,
            node="there",
            cached=e is lost,
        )
        for e in (lost, later)
    ]
    assert two.dispatcher.report(two.next().number, step)
    assert [e.candidate for e in two.evaluations] == [lost.candidate]
    assert two.dispatcher.finished


def test_a_search_that_runs_out_of_memory_starts_again_alone() -> None:
    driver = whole(0)
    assignment = driver.next()
    report_next(driver, assignment)
    candidate = driver.conductor.missing(0)[0]
    full = Outcome(
        candidate=candidate, measurement=out_of_memory(), started=1, ended=2, node="there"
    )
    assert driver.dispatcher.report(assignment.number, [full]), "this trial is over"
    again = driver.next()
    assert again.work.exclusive
    assert list(again.work.known) == driver.evaluations
    assert not driver.dispatcher.report(again.number, [full])
    assert driver.evaluations[-1].measurement.status == "failed"
    assert driver.evaluations[-1].attempts == 2


def test_a_trial_may_report_copies_beside_what_it_trained() -> None:
    driver = Driver(fan_searches(0), kind=SearchDispatcher)
    assignment = driver.next()
    result = complete(accuracy_of(FAN, 0), macs_of(FAN))
    reported = [
        Outcome(
            candidate=candidate,
            measurement=result,
            started=1,
            ended=2,
            node="there",
            cached=candidate.index > 0,
        )
        for candidate in driver.conductor.missing(0)
    ]
    assert not driver.dispatcher.report(assignment.number, reported)
    assert [(e.cached, e.attempts) for e in driver.evaluations] == [
        (False, 1),
        (True, 0),
        (True, 0),
    ]
    assert len(driver.ledger.decisions) == 1
