"""Each candidate ends up measured once, whatever happens to the trials."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.conductor import Conductor, Search, Trip
from autoshrink_ray.dispatch import (
    Assignment,
    CandidateDispatcher,
    Dispatcher,
    Outcome,
    SearchDispatcher,
    Work,
)
from autoshrink_ray.errors import RetriesExhaustedError
from autoshrink_ray.ledger import LedgerContents, MemoryLedger
from autoshrink_ray.objective import OBJECTIVES
from autoshrink_ray.policies import ShrinkPolicy
from autoshrink_ray.records import Evaluation, Measurement
from autoshrink_ray.topology import Topology
from tests.contracts.drivers import by_loop, outcomes, work_off
from tests.contracts.policies import searches, shrink
from tests.contracts.scoring import (
    Score,
    accuracy_of,
    complete,
    failed,
    macs_of,
    measure_all,
    out_of_memory,
)

FAN = Topology(("a",) * 4, ((0, 1), (0, 2), (0, 3)))
"""Whichever edge goes, the same cell is left."""


def fan_searches(*evaluation_seeds: int) -> dict[int, Search]:
    """Searches of two rounds, each round's candidates isomorphic, and equal between searches."""
    return {
        number: Search(
            ShrinkPolicy(
                FAN,
                candidates=3,
                keep_fraction=0.01,
                objective=OBJECTIVES["accuracy"],
                seed=0,
                search=number,
            ),
            evaluation_seed,
        )
        for number, evaluation_seed in enumerate(evaluation_seeds)
    }


class Driver:
    """A dispatcher over fresh searches, and the ledger below it."""

    def __init__(
        self,
        found: dict[int, Search],
        *,
        kind: type[CandidateDispatcher] | type[SearchDispatcher] = CandidateDispatcher,
        max_retries: int = 3,
        known: LedgerContents | None = None,
    ) -> None:
        self.ledger = MemoryLedger()
        self.conductor = Conductor(found, self.ledger)
        self.conductor.replay(known or LedgerContents())
        self.time = 100.0
        self.dispatcher: Dispatcher = kind(self.conductor, max_retries, lambda: self.time)

    def next(self) -> Assignment:
        """Work, where there has to be some."""
        assignment = self.dispatcher.next()
        assert assignment is not None
        return assignment

    def report(self, assignment: Assignment, measurement: Measurement | None = None) -> bool:
        def score(topology: Topology, seed: int) -> Measurement:
            return measurement or measure_all(topology, seed)

        return self.dispatcher.report(assignment.number, outcomes(assignment, score))

    def lose(self, assignment: Assignment, reason: str = "node 3 went away") -> None:
        self.dispatcher.lost(assignment.number, reason)

    @property
    def evaluations(self) -> list[Evaluation]:
        return self.ledger.evaluations


# Handing out


def test_a_rounds_candidates_go_out_in_draw_order_with_their_seeds() -> None:
    found = searches(shrink, 0)
    driver = Driver(found)
    tasks = [driver.next().work.tasks[0] for _ in range(3)]
    assert [task.candidate for task in tasks] == list(found[0].policy.propose())
    assert [task.seed for task in tasks] == [found[0].seed_of(task.candidate) for task in tasks]
    assert driver.dispatcher.next() is None, "the next round waits for this one"
    assert driver.dispatcher.in_flight == 3


def test_the_next_round_goes_out_once_the_last_result_is_in() -> None:
    driver = Driver(searches(shrink, 0))
    first = [driver.next() for _ in range(3)]
    for assignment in first[:-1]:
        assert driver.report(assignment)
        assert driver.dispatcher.next() is None
    assert driver.report(first[-1])
    assert driver.next().work.tasks[0].candidate.round == 2


def test_searches_take_turns() -> None:
    driver = Driver(searches(shrink, 0, 1, 2))
    turns = [driver.next().work.tasks[0].candidate.search for _ in range(9)]
    assert turns == [0, 1, 2] * 3


def test_no_worker_waits_at_the_end_of_another_searches_round() -> None:
    driver = Driver(searches(shrink, 0, 1))
    out = [driver.next() for _ in range(6)]
    of_search = {s: [a for a in out if a.work.tasks[0].candidate.search == s] for s in (0, 1)}
    for assignment in of_search[0]:
        driver.report(assignment)
    assert driver.next().work.tasks[0].candidate.place == (0, 2, 0)
    assert driver.dispatcher.in_flight == 4, "three of search 1's first round are still out"


def test_assignments_say_when_they_were_handed_out() -> None:
    driver = Driver(searches(shrink, 0))
    assignment = driver.next()
    driver.time = 200.0
    later = driver.next()
    driver.report(assignment)
    driver.report(later)
    assert [(e.queued, e.started, e.ended) for e in driver.evaluations] == [
        (100.0, 101.0, 102.0),
        (200.0, 201.0, 202.0),
    ]


def test_a_run_is_finished_when_its_searches_are() -> None:
    driver = Driver(searches(shrink, 0, 1))
    while (assignment := driver.dispatcher.next()) is not None:
        assert not driver.dispatcher.finished
        driver.report(assignment)
    assert driver.dispatcher.finished
    assert driver.dispatcher.in_flight == 0


# Isomorphic candidates


def test_isomorphic_candidates_in_flight_train_once() -> None:
    driver = Driver(fan_searches(0))
    only = driver.next()
    assert driver.dispatcher.next() is None
    driver.report(only, complete(0.5))
    assert [(e.candidate.place, e.cached, e.attempts) for e in driver.evaluations] == [
        ((0, 1, 0), False, 1),
        ((0, 1, 1), True, 0),
        ((0, 1, 2), True, 0),
    ]
    assert {e.seed for e in driver.evaluations} == {only.work.tasks[0].seed}
    assert all(e.measurement == complete(0.5) for e in driver.evaluations)
    assert len(driver.ledger.decisions) == 1


def test_a_result_is_shared_between_searches_with_one_evaluation_seed() -> None:
    driver = Driver(fan_searches(5, 5))
    only = driver.next()
    assert driver.dispatcher.next() is None
    driver.report(only)
    assert [e.candidate.place for e in driver.evaluations if not e.cached] == [(0, 1, 0)]
    assert len(driver.ledger.decisions) == 2


def test_a_result_is_not_shared_between_evaluation_seeds() -> None:
    driver = Driver(fan_searches(5, 6))
    one, other = driver.next(), driver.next()
    assert one.work.tasks[0].candidate.topology.key == other.work.tasks[0].candidate.topology.key
    assert one.work.tasks[0].seed != other.work.tasks[0].seed


def test_whoever_asks_later_gets_a_copy_at_once() -> None:
    """Search 1 starts when search 0 is done with all that it would train."""
    trained = MemoryLedger()
    work_off(Conductor(fan_searches(5), trained), measure_all)
    known = LedgerContents(evaluations={e.candidate.place: e for e in trained.evaluations})
    driver = Driver(fan_searches(5, 5), known=known)
    assert driver.dispatcher.next() is None
    assert driver.dispatcher.finished
    assert all(e.cached and e.candidate.search == 1 for e in driver.evaluations)
    zero, one = (search.policy.decisions for search in driver.conductor.searches.values())
    assert [d.topology for d in zero] == [d.topology for d in one]


def test_a_failure_is_a_result_that_is_shared_too() -> None:
    """Training again with the same seed would fail again."""
    driver = Driver(searches(shrink, 0, 0, evaluation_seed=0))
    driver.report(driver.next(), failed("diverged"))
    assert driver.next().work.tasks[0].candidate.place == (1, 1, 1)
    original, copy = driver.evaluations
    assert [(e.candidate.place, e.cached) for e in (original, copy)] == [
        ((0, 1, 0), False),
        ((1, 1, 0), True),
    ]
    assert copy.measurement == original.measurement


def test_copies_wait_for_a_candidate_that_is_lost() -> None:
    driver = Driver(fan_searches(0))
    driver.lose(driver.next())
    again = driver.next()
    assert driver.dispatcher.next() is None
    driver.report(again)
    assert [(e.cached, e.attempts) for e in driver.evaluations] == [
        (False, 2),
        (True, 0),
        (True, 0),
    ]


# Lost work


def test_lost_work_goes_out_again_before_anything_else() -> None:
    driver = Driver(searches(shrink, 0))
    first, second = driver.next(), driver.next()
    driver.lose(first)
    assert driver.dispatcher.in_flight == 1
    again = driver.next()
    assert again.work == first.work
    assert again.number not in {first.number, second.number}
    assert (again.attempt, again.losses) == (2, 1)
    driver.report(again)
    assert driver.evaluations[0].attempts == 2


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_work_that_is_lost_too_often_ends_the_run_resumable(max_retries: int) -> None:
    driver = Driver(searches(shrink, 0), max_retries=max_retries)
    for _ in range(max_retries):
        driver.lose(driver.next())
    with pytest.raises(RetriesExhaustedError) as caught:
        driver.lose(driver.next(), "the machine was taken away")
    message = str(caught.value)
    assert "search 0, round 1, candidate 0" in message
    assert f"was lost {max_retries + 1} times (max_retries is {max_retries})" in message
    assert "the last time: the machine was taken away" in message
    assert "start the run again under its name to go on" in message
    assert driver.evaluations == [], "no decision is made without the candidate"


def test_each_candidate_has_its_own_retries() -> None:
    driver = Driver(searches(shrink, 0), max_retries=1)
    out = [driver.next() for _ in range(3)]
    for assignment in out:
        driver.lose(assignment)
    for _ in out:
        driver.report(driver.next())
    assert len(driver.ledger.decisions) == 1


@pytest.mark.parametrize("kind", [CandidateDispatcher, SearchDispatcher])
def test_news_of_a_loss_that_comes_after_the_result_is_ignored(
    kind: type[CandidateDispatcher] | type[SearchDispatcher],
) -> None:
    driver = Driver(fan_searches(0), kind=kind, max_retries=0)
    assignment = driver.next()
    while not report_next(driver, assignment):
        pass
    driver.lose(assignment)
    driver.lose(assignment)
    assert driver.dispatcher.in_flight == 0
    again = driver.dispatcher.next()
    assert again is None or again.attempt == 1


def test_a_trial_that_reports_nothing_for_its_candidate_is_noticed() -> None:
    driver = Driver(searches(shrink, 0))
    with pytest.raises(ValueError, match=r"a trial reported nothing for \[\(0, 1, 0\)\]"):
        driver.dispatcher.report(driver.next().number, [])


# Out of memory


def test_out_of_memory_is_tried_again_alone_on_the_device() -> None:
    driver = Driver(searches(shrink, 0), max_retries=0)
    first = driver.next()
    assert not first.work.exclusive
    assert driver.report(first, out_of_memory())
    assert driver.evaluations == []
    again = driver.next()
    assert again.work == Work(tasks=first.work.tasks, exclusive=True)
    driver.report(again, complete(0.5))
    assert [(e.complete, e.attempts) for e in driver.evaluations] == [(True, 2)]
    assert not driver.next().work.exclusive, "others share their device as before"


def test_out_of_memory_alone_on_the_device_is_a_failed_evaluation() -> None:
    driver = Driver(searches(shrink, 0))
    driver.report(driver.next(), out_of_memory())
    driver.report(driver.next(), out_of_memory())
    (evaluation,) = driver.evaluations
    assert evaluation.measurement.status == "failed"
    assert evaluation.measurement.reason == "out of memory"
    assert evaluation.attempts == 2


def test_work_that_is_lost_while_alone_stays_alone() -> None:
    driver = Driver(searches(shrink, 0), max_retries=1)
    driver.report(driver.next(), out_of_memory())
    driver.lose(driver.next())
    again = driver.next()
    assert again.work.exclusive
    assert (again.attempt, again.losses) == (3, 1)


# A search as one trial


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


def report_next(driver: Driver, assignment: Assignment) -> bool:
    """Reports a candidate's work, or the next candidate of a search."""
    if assignment.work.search is None:
        return driver.report(assignment)
    search = assignment.work.search
    candidate = driver.conductor.missing(search)[0]
    outcome = Outcome(
        candidate=candidate, measurement=complete(0.5), started=1, ended=2, node="there"
    )
    return driver.dispatcher.report(assignment.number, [outcome])


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
    assert driver.dispatcher.in_flight == 2


def test_an_assignment_is_over_when_its_search_is() -> None:
    driver = whole(0, 1)
    for number in (0, 1):
        assignment = driver.next()
        steps = Trial(assignment.work, searches(shrink, 0, 1)).steps()
        over = [driver.dispatcher.report(assignment.number, step) for step in steps]
        assert over == [False] * (len(over) - 1) + [True]
        assert driver.conductor.searches[number].policy.finished
    assert driver.dispatcher.finished
    assert driver.dispatcher.in_flight == 0
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


# What travels


def test_work_and_outcomes_travel_as_json() -> None:
    driver = Driver(searches(shrink, 0))
    assignment = driver.next()
    assert Work.model_validate_json(assignment.work.model_dump_json()) == assignment.work
    (outcome,) = outcomes(assignment)
    assert Outcome.model_validate_json(outcome.model_dump_json()) == outcome
    driver.report(assignment)
    work = Work(search=0, known=tuple(driver.evaluations), exclusive=True)
    assert Work.model_validate_json(work.model_dump_json()) == work
