"""Each candidate ends up measured once, whatever happens to the trials."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray import RunObserver
from autoshrink_ray.conductor import Conductor
from autoshrink_ray.dispatch import CandidateDispatcher, SearchDispatcher
from autoshrink_ray.errors import RetriesExhaustedError
from autoshrink_ray.ledger import LedgerContents, MemoryLedger
from autoshrink_ray.work import Activity, Outcome, Work
from tests.contracts.drivers import outcomes, work_off
from tests.contracts.policies import searches, shrink
from tests.contracts.scoring import complete, failed, measure_all, out_of_memory
from tests.core.dispatching import Driver, fan_searches, report_next

# Handing out


def test_a_rounds_candidates_go_out_in_draw_order_with_their_seeds() -> None:
    found = searches(shrink, 0)
    driver = Driver(found)
    tasks = [driver.next().work.tasks[0] for _ in range(3)]
    assert [task.candidate for task in tasks] == list(found[0].policy.propose())
    assert [task.seed for task in tasks] == [found[0].seed_of(task.candidate) for task in tasks]
    assert driver.dispatcher.next() is None, "the next round waits for this one"


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
    again = driver.dispatcher.next()
    assert again is None or again.attempt == 1


def test_a_trial_that_reports_nothing_for_its_candidate_is_noticed() -> None:
    driver = Driver(searches(shrink, 0))
    with pytest.raises(ValueError, match=r"a trial reported nothing for \[\(0, 1, 0\)\]"):
        driver.dispatcher.report(driver.next().number, [])


# The time that it cost


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=3))
def test_lost_work_remembers_how_long_it_was_worked_on(losses: list[tuple[float, float]]) -> None:
    driver = Driver(searches(shrink, 0))
    for waited, worked in losses:
        assignment = driver.next()
        driver.time += waited
        driver.dispatcher.started(assignment.number)
        driver.time += worked
        driver.lose(assignment)
    driver.report(driver.next())
    (evaluation,) = driver.evaluations
    assert evaluation.lost_seconds == pytest.approx(sum(worked for _, worked in losses))
    assert evaluation.attempts == len(losses) + 1
    driver.report(driver.next())
    assert driver.evaluations[-1].lost_seconds == 0, "the next candidate lost nothing"


def test_work_that_never_began_has_lost_no_time() -> None:
    driver = Driver(searches(shrink, 0))
    assignment = driver.next()
    driver.time += 50
    driver.lose(assignment)
    driver.report(driver.next())
    assert [(e.attempts, e.lost_seconds) for e in driver.evaluations] == [(2, 0)]


def test_a_clock_that_is_set_back_takes_no_time_away() -> None:
    driver = Driver(searches(shrink, 0))
    assignment = driver.next()
    driver.dispatcher.started(assignment.number)
    driver.time -= 50
    driver.lose(assignment)
    driver.report(driver.next())
    assert driver.evaluations[0].lost_seconds == 0


def test_a_training_whose_memory_ran_out_is_lost_time() -> None:
    driver = Driver(searches(shrink, 0))
    driver.report(driver.next(), out_of_memory().model_copy(update={"seconds": 2.5}))
    driver.report(driver.next(), complete(0.5))
    assert [(e.attempts, e.lost_seconds) for e in driver.evaluations] == [(2, 2.5)]


def test_a_search_loses_the_time_since_its_last_result() -> None:
    driver = Driver(fan_searches(0), kind=SearchDispatcher)
    assignment = driver.next()
    driver.dispatcher.started(assignment.number)
    driver.time += 30
    report_next(driver, assignment)
    driver.time += 7
    driver.lose(assignment)
    again = driver.next()
    driver.dispatcher.started(again.number)
    report_next(driver, again)
    report_next(driver, again)
    assert [e.lost_seconds for e in driver.evaluations] == [0, 7, 0]


def test_what_was_lost_changes_no_decision() -> None:
    lucky, unlucky = Driver(searches(shrink, 0)), Driver(searches(shrink, 0))
    while (assignment := lucky.dispatcher.next()) is not None:
        lucky.report(assignment)
    for losses in (3, 1, 0, 2, *([0] * 100)):
        for _ in range(losses if not unlucky.dispatcher.finished else 0):
            lost = unlucky.next()
            unlucky.dispatcher.started(lost.number)
            unlucky.time += 11
            unlucky.lose(lost)
        if not unlucky.dispatcher.finished:
            unlucky.report(unlucky.next())
    assert sum(e.lost_seconds for e in unlucky.evaluations) == 66
    assert unlucky.ledger.decisions == lucky.ledger.decisions


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


# What is being trained


def watched(driver: Driver) -> list[tuple[dict[int, int], int]]:
    """What observers are told, from now on."""
    heard: list[tuple[dict[int, int], int]] = []

    class Watcher(RunObserver):
        def on_activity(self, activity: Activity) -> None:
            heard.append((dict(activity.running), activity.busy))

    driver.conductor._observers = (Watcher(),)
    return heard


def test_work_that_has_found_no_place_yet_is_not_in_training() -> None:
    driver = Driver(searches(shrink, 0, 1))
    heard = watched(driver)
    driver.dispatcher.begin(at_once=2)
    first, second, third = (driver.next() for _ in range(3))
    assert heard == [({}, 0)]
    driver.dispatcher.started(first.number)
    driver.dispatcher.started(second.number)
    assert heard[1:] == [({0: 1}, 1), ({0: 1, 1: 1}, 2)]
    driver.report(first)
    driver.dispatcher.started(third.number)
    assert heard[3:] == [({1: 1}, 1), ({0: 1, 1: 1}, 2)]


@pytest.mark.parametrize("kind", [CandidateDispatcher, SearchDispatcher])
def test_what_is_lost_is_not_in_training_until_it_has_begun_again(
    kind: type[CandidateDispatcher] | type[SearchDispatcher],
) -> None:
    driver = Driver(searches(shrink, 0), kind=kind)
    heard = watched(driver)
    lost = driver.next()
    driver.dispatcher.started(lost.number)
    driver.lose(lost)
    again = driver.next()
    assert [busy for _, busy in heard] == [1, 0]
    driver.dispatcher.started(again.number)
    driver.dispatcher.started(lost.number)
    assert [busy for _, busy in heard] == [1, 0, 1], "news of a trial that is over"


@pytest.mark.parametrize("kind", [CandidateDispatcher, SearchDispatcher])
def test_what_ran_out_of_memory_waits_for_a_device_of_its_own(
    kind: type[CandidateDispatcher] | type[SearchDispatcher],
) -> None:
    driver = Driver(searches(shrink, 0), kind=kind)
    heard = watched(driver)
    assignment = driver.next()
    driver.dispatcher.started(assignment.number)
    candidate = driver.conductor.missing(0)[0]
    outcome = Outcome(
        candidate=candidate, measurement=out_of_memory(), started=1, ended=2, node="there"
    )
    driver.dispatcher.report(assignment.number, [outcome])
    assert heard == [({0: 1}, 1), ({}, 0)]
