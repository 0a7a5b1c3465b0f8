"""How long a run will still take is said from what it has measured."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.pace import Pace, Trained, eta

SECONDS = st.floats(0, 1e6)
TRAININGS = st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=30)


def in_order(pairs: list[tuple[float, float]]) -> list[Trained]:
    return [Trained(ended, seconds) for ended, seconds in sorted(pairs)]


def steady(count: int, seconds: float, workers: int) -> list[Trained]:
    """Trainings of equal length, one of which ends every `seconds / workers`."""
    return [Trained(seconds + n * seconds / workers, seconds) for n in range(count)]


def test_nothing_is_said_before_anything_is_measured() -> None:
    assert eta([], 10, now=5.0) is None


def test_one_worker_takes_the_time_of_each() -> None:
    assert eta(steady(7, 3.0, workers=1), 10, now=21.0) == pytest.approx(30.0)


def test_two_workers_that_train_side_by_side_take_half_of_it() -> None:
    both = [Trained(4.0, 4.0), Trained(4.0, 4.0), Trained(8.0, 4.0), Trained(8.0, 4.0)]
    assert eta(both, 10, now=8.0) == pytest.approx(20.0)


def test_time_in_which_nothing_was_trained_counts() -> None:
    """Two seconds of training, and two without, for each candidate."""
    idle = [Trained(2.0, 2.0), Trained(6.0, 2.0), Trained(10.0, 2.0)]
    assert eta(idle, 3, now=10.0) == pytest.approx(3 * 10 / 3)


def test_one_training_that_took_long_does_not_change_the_expectation() -> None:
    usual = steady(9, 1.0, workers=1)
    odd = [*usual, Trained(usual[-1].ended + 100, 100.0)]
    assert eta(odd, 10, now=odd[-1].ended) == pytest.approx(10.0)


@given(TRAININGS, st.integers(0, 10_000), st.floats(-1e6, 1e7))
def test_it_is_never_negative(pairs: list[tuple[float, float]], left: int, now: float) -> None:
    found = eta(in_order(pairs), left, now)
    assert found is not None
    assert found >= 0
    assert left > 0 or found == 0


@given(
    st.floats(0.01, 1e4),
    st.integers(1, 64),
    st.integers(1, 50),
    st.integers(1, 50),
    st.floats(0, 1),
)
def test_it_shrinks_as_candidates_finish_at_equal_pace(
    seconds: float, workers: int, count: int, ahead: int, late: float
) -> None:
    trained = steady(count + ahead, seconds, workers)
    found = []
    for finished in range(count, count + ahead + 1):
        now = trained[finished - 1].ended
        found.append(eta(trained[:finished], count + ahead - finished, now + late * seconds))
    for earlier, later in pairwise(found):
        assert earlier is not None
        assert later is not None
        assert later <= earlier * (1 + 1e-9)


@given(TRAININGS, st.integers(1, 1000), st.floats(0, 1e6), st.floats(0, 1e6))
def test_it_shrinks_while_nothing_happens_and_keeps_what_is_behind_the_next_one(
    pairs: list[tuple[float, float]], left: int, early: float, more: float
) -> None:
    trained = in_order(pairs)
    last = trained[-1].ended
    first, second = (eta(trained, left, last + wait) for wait in (early, early + more))
    behind = eta(trained, left - 1, last)
    assert first is not None
    assert second is not None
    assert behind is not None
    assert second <= first
    assert second >= behind * (1 - 1e-9)


def test_only_the_recent_past_counts() -> None:
    pace = Pace()
    for number in range(100):
        pace.add(ended=1000.0 * number, seconds=1000.0)
    for number in range(20):
        pace.add(ended=99_000.0 + number + 1, seconds=1.0)
    assert pace.eta(10, now=99_020.0) == pytest.approx(10.0)


def test_with_many_workers_the_recent_past_is_longer() -> None:
    """Fifty results that come in together are no more than a single wave."""
    pace = Pace()
    pace.busy(50)
    for wave in range(1, 9):
        for _ in range(50):
            pace.add(ended=10.0 * wave, seconds=10.0)
    assert pace.eta(500, now=80.0) == pytest.approx(100.0)
