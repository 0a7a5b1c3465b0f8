"""Which workers stay warm: as many as there may still be work for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.utils.object_cache import _ObjectCache

from autoshrink_ray.dispatch import CandidateDispatcher, SearchDispatcher
from autoshrink_ray.warm import WarmWorkers, idle_wanted
from tests.contracts.policies import random as random_search
from tests.contracts.policies import searches, shrink
from tests.core.dispatching import Driver

MANY = 1000


@pytest.mark.parametrize(("at_once", "workers"), [(1, 1), (2, 2), (3, 3), (MANY, 3)])
def test_a_search_keeps_the_workers_of_its_largest_later_round(at_once: int, workers: int) -> None:
    driver = Driver(searches(shrink, 0))
    out = [driver.next()]
    driver.report(out[0])
    assert driver.dispatcher.idle_wanted(at_once) == workers


def test_a_worker_that_is_out_is_not_idle() -> None:
    driver = Driver(searches(shrink, 0))
    for left in (2, 1, 0):
        driver.next()
        assert driver.dispatcher.idle_wanted(MANY) == left


def test_the_only_round_of_a_search_keeps_no_worker_that_is_through() -> None:
    driver = Driver(searches(random_search, 0))
    out = []
    while (assignment := driver.dispatcher.next()) is not None:
        out.append(assignment)
    for assignment in out:
        driver.report(assignment)
        assert driver.dispatcher.idle_wanted(MANY) == 0
    assert driver.dispatcher.finished


@pytest.mark.parametrize("kind", [CandidateDispatcher, SearchDispatcher])
def test_what_was_lost_keeps_a_worker(kind: Any) -> None:
    driver = Driver(searches(random_search, 0), kind=kind)
    out = []
    while (assignment := driver.dispatcher.next()) is not None:
        out.append(assignment)
    driver.lose(out[0])
    assert driver.dispatcher.idle_wanted(MANY) == 1


def test_searches_as_trials_keep_a_worker_for_each_that_is_not_out() -> None:
    driver = Driver(searches(shrink, 0, 1, 2), kind=SearchDispatcher)
    driver.next()
    assert driver.dispatcher.idle_wanted(MANY) == 2
    assert driver.dispatcher.idle_wanted(2) == 1


def test_a_finished_run_keeps_none() -> None:
    driver = Driver(searches(shrink, 0))
    while (assignment := driver.dispatcher.next()) is not None:
        driver.report(assignment)
    assert driver.dispatcher.finished
    assert driver.dispatcher.idle_wanted(MANY) == 0


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 60))
def test_idle_and_busy_workers_are_never_more_than_may_work(
    most: int, limit: int, out: int
) -> None:
    idle = idle_wanted(most, limit, out)
    assert idle >= 0
    assert idle == 0 or idle + out == min(most, limit)


@given(st.lists(st.integers(0, 5)))
def test_tunes_cache_keeps_exactly_what_is_wanted(wishes: list[int]) -> None:
    """Ray's own cache: this fails where a new Ray counts otherwise."""
    cache = _ObjectCache(may_keep_one=True)
    controller, warm = SimpleNamespace(_actor_cache=cache), WarmWorkers()
    warm.keep(controller, 3)
    assert cache.total_max_objects == 0, "nothing is kept before a worker's resources are known"
    warm.serve(controller, "one CPU")
    for wish in wishes:
        warm.keep(controller, wish)
        while cache.cache_object("one CPU", object()):
            pass
        assert cache.num_cached_objects == wish
        cache.increase_max("one CPU")  # a trial waits, and Tune expects its worker
        assert cache.cache_object("one CPU", object())
        cache.decrease_max("one CPU")
        assert len(list(cache.flush_cached_objects())) == 1
        warm.keep(controller, 0)
        list(cache.flush_cached_objects())
        assert cache.num_cached_objects == 0
