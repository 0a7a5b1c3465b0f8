"""What a run has cost, on timelines drawn by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.analysis import cost_account
from autoshrink_ray.analysis.timeline import Training, barrier_seconds, most_at_once
from tests.contracts.scoring import failed
from tests.core.analysis.handmade import candidates, evaluated, measured, run_of


def of_round(number: int, *times: tuple[float, float], search: int = 0) -> list[Training]:
    return [Training((search, number), started, ended) for started, ended in times]


def test_two_workers_wait_for_the_slowest() -> None:
    """One worker 0-4, the other 0-1 and then nothing: three seconds, in each of two rounds."""
    trainings = of_round(1, (0, 4), (0, 1)) + of_round(2, (4, 8), (4, 5))
    assert most_at_once(trainings) == 2
    assert barrier_seconds(trainings) == 6


def test_while_candidates_are_left_nobody_waits_for_a_barrier() -> None:
    """The gap from 1 to 2 is the driver's or the cluster's, not the round's: one is to start."""
    assert barrier_seconds(of_round(1, (0, 4), (0, 1), (2, 4))) == 0
    assert barrier_seconds(of_round(1, (0, 4), (0, 1), (2, 3))) == 1


def test_another_search_fills_the_gap() -> None:
    """Search 1 hands out until 3; from then on both searches are ending."""
    both = of_round(1, (0, 6), (0, 1)) + of_round(1, (1, 3), (3, 5), search=1)
    assert barrier_seconds(both) == 1


def test_between_rounds_no_worker_waits_for_a_barrier() -> None:
    assert barrier_seconds(of_round(1, (0, 1), (0, 1)) + of_round(2, (9, 10), (9, 10))) == 0


def test_one_worker_never_waits() -> None:
    assert barrier_seconds(of_round(1, (0, 1), (1, 3), (5, 6))) == 0


def test_nothing_was_trained() -> None:
    assert most_at_once([]) == 0
    assert barrier_seconds([]) == 0
    assert barrier_seconds(of_round(1, (3, 3), (4, 2))) == 0


@st.composite
def timelines(draw: st.DrawFn) -> list[Training]:
    """Whole seconds, so that sums are exact."""
    time = st.integers(0, 20)
    found = draw(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 3), time, time), max_size=12))
    return [Training((search, number), min(a, b), max(a, b)) for search, number, a, b in found]


@given(timelines())
def test_waiting_and_working_fit_into_the_workers_time(trainings: list[Training]) -> None:
    """Counted again second by second."""
    trainings = [t for t in trainings if t.ended > t.started]
    workers = most_at_once(trainings)
    idle = 0
    for second in range(20):
        busy = sum(t.started <= second < t.ended for t in trainings)
        ahead = {t.round for t in trainings if t.started > second}
        begun = {t.round for t in trainings if t.started <= second}
        idle += workers - busy if busy and not ahead & begun else 0
    assert barrier_seconds(trainings) == idle


def test_an_account(tmp_path: Path) -> None:
    """Two attempts of the driver, a lost trial, a failure, a copy and a cache hit."""
    one, two, three, four, five, six = candidates(count=6)
    twin = four.model_copy(update={"topology": one.topology})
    first = [
        evaluated(one, measured(0.5, seconds=4), (0, 1, 5)),
        evaluated(two, measured(0.6, seconds=1), (0, 1, 2), attempts=3, lost_seconds=0.75),
    ]
    second = [
        evaluated(three, failed().model_copy(update={"seconds": 2.0}), (1000, 1000.5, 1002.5)),
        evaluated(twin, measured(0.5, seconds=4), (5, 5, 5), cached=True, attempts=0),
        evaluated(five, measured(0.5, seconds=9), (7, 7, 7), seed=5, cached=True, attempts=0),
        evaluated(six, measured(0.1, seconds=1), (1000, 1001, 1002)),
    ]
    account = cost_account(run_of(tmp_path, first, second, config={"cpus_per_trial": 2}))
    assert (account.evaluations, account.trials, account.lost) == (6, 6, 2)
    assert (account.copies, account.cache_hits, account.cached) == (1, 1, 2)
    assert (account.failed, account.failed_seconds) == (1, 2)
    assert (account.training_seconds, account.lost_seconds) == (8, 0.75)
    assert (account.device, account.device_hours) == ("CPU", pytest.approx(16 / 3600))
    assert account.queueing_seconds == pytest.approx(1 + 1 + 0.5 + 1)
    assert account.wall_seconds == pytest.approx(5 + 2.5)
    assert account.barrier_seconds == pytest.approx(3 + 0.5)


def test_gpu_hours(tmp_path: Path) -> None:
    results = [evaluated(candidates()[0], measured(0.5, seconds=3600))]
    account = cost_account(run_of(tmp_path, results, config={"gpus_per_trial": 0.25}))
    assert (account.device, account.device_hours) == ("GPU", 0.25)


def test_a_run_without_evaluations_has_cost_nothing(tmp_path: Path) -> None:
    account = cost_account(run_of(tmp_path, []))
    assert (account.trials, account.wall_seconds, account.device_hours) == (0, 0, 0)
