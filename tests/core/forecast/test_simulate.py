"""A run on a virtual clock, held against a plain simulation, bounds and a real run."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.forecast import NONE, Drawn, Overheads, Simulated, simulate
from autoshrink_ray.forecast.subject import Subject
from autoshrink_ray.plan import Plan
from autoshrink_ray.policies import Policy
from autoshrink_ray.work import Task
from tests.contracts.scoring import evaluation
from tests.core.runs import TABLE, decisions, interrupted

few = settings(max_examples=15, deadline=None)
POOLS = st.dictionaries(
    st.integers(1, 15),
    st.lists(st.floats(0.1, 100), min_size=1, max_size=4).map(tuple),
    min_size=1,
    max_size=4,
)
WORKERS = st.integers(1, 9)


def plan_of(**changes: object) -> Plan:
    return Plan.of(SearchConfig.of(TABLE | {"nodes": 5} | changes))


def random_plan(budget: int, searches: int = 1) -> Plan:
    """One round."""
    base = {key: value for key, value in TABLE.items() if key != "candidates"}
    config = base | {"nodes": 6, "algorithm": "random", "budget": budget, "searches": searches}
    return Plan.of(SearchConfig.of(config))


def durations(plan: Plan, source: Drawn) -> dict[int, list[float]]:
    """Seconds of the trainings of one search by round, without copies, by a plain loop."""
    (search,) = plan.searches()
    found: dict[int, list[float]] = defaultdict(list)
    known: set[str] = set()
    policy: Policy = search.policy
    while not policy.finished:
        for candidate in policy.propose():
            seed = search.seed_of(candidate)
            measured = source.measurement(Task(candidate=candidate, seed=seed))
            if candidate.topology.key not in known:
                found[candidate.round].append(measured.seconds)
            known.add(candidate.topology.key)
            policy.record(evaluation(candidate, measured, seed))
        assert policy.decide() is not None
    return found


def plainly(rounds: dict[int, list[float]], workers: int) -> float:
    """The reference: each training goes to the worker that is free first; rounds are barriers."""
    now = 0.0
    for seconds in rounds.values():
        free = [now] * workers
        for one in seconds:
            free.sort()
            free[0] += one
        now = max([now, *free])
    return now


@few
@given(POOLS, WORKERS, st.integers(0, 99))
def test_one_search_takes_what_a_plain_simulation_says(
    pool: dict[int, tuple[float, ...]], workers: int, draw: int
) -> None:
    plan = plan_of()
    source = Drawn(plan.objective, pool, draw)
    rounds = durations(plan, source)
    found = simulate(plan, source, workers, NONE)
    assert found.wall == pytest.approx(plainly(rounds, workers))
    assert found.trainings == sum(map(len, rounds.values()))
    assert found.busy == pytest.approx(sum(map(sum, rounds.values())))


@few
@given(POOLS, st.integers(1, 3), st.integers(0, 99))
def test_one_worker_is_never_idle(
    pool: dict[int, tuple[float, ...]], searches: int, draw: int
) -> None:
    plan = plan_of(searches=searches)
    found = simulate(plan, Drawn(plan.objective, pool, draw), 1, NONE)
    assert found.wall == pytest.approx(found.busy)
    assert found.most_at_once == 1


@few
@given(POOLS, st.integers(0, 99))
def test_with_workers_for_all_a_round_takes_as_long_as_its_longest(
    pool: dict[int, tuple[float, ...]], draw: int
) -> None:
    plan = plan_of()
    source = Drawn(plan.objective, pool, draw)
    rounds = durations(plan, source)
    found = simulate(plan, source, 1000, NONE)
    assert found.wall == pytest.approx(sum(map(max, rounds.values())))
    assert found.most_at_once == max(map(len, rounds.values()))


@few
@given(POOLS, WORKERS, st.integers(1, 40), st.integers(0, 99))
def test_a_round_stays_within_its_bounds(
    pool: dict[int, tuple[float, ...]], workers: int, budget: int, draw: int
) -> None:
    plan = random_plan(budget)
    source = Drawn(plan.objective, pool, draw)
    (seconds,) = durations(plan, source).values()
    found, longest, share = simulate(plan, source, workers, NONE), max(seconds), sum(seconds)
    assert max(longest, share / workers) <= found.wall * (1 + 1e-9)
    assert found.wall <= (share / workers + longest) * (1 + 1e-9)


@few
@given(WORKERS, WORKERS, st.integers(1, 3))
def test_more_workers_are_never_slower_where_all_trainings_take_the_same(
    one: int, other: int, searches: int
) -> None:
    plan = random_plan(12, searches)
    few_workers, many = sorted((one, other))
    source = Drawn(plan.objective, {1: (3.0,)})
    assert simulate(plan, source, many, NONE).wall <= simulate(plan, source, few_workers, NONE).wall


def test_each_overhead_counts_where_it_belongs() -> None:
    plan = plan_of()
    source = Drawn(plan.objective, {1: (1.0,)})
    bare = simulate(plan, source, 1, NONE)
    rounds = len(bare.decisions)

    def added(**overheads: float) -> float:
        return simulate(plan, source, 1, Overheads(**overheads)).wall - bare.wall

    assert added(start=7) == pytest.approx(7)
    assert added(node=7) == pytest.approx(7)
    assert added(end=7) == pytest.approx(7)
    assert added(worker=7) == pytest.approx(7)
    assert added(candidate=7) == pytest.approx(7 * (bare.trainings - 1))
    assert added(round=7) == pytest.approx(7 * (rounds - 1))


@pytest.mark.parametrize("granularity", ["candidate", "search"])
def test_decisions_are_those_of_the_real_run(tmp_path: Path, granularity: str) -> None:
    settings_ = TABLE | {"nodes": 5, "searches": 2, "granularity": granularity}
    run = run_search(SearchConfig.of(settings_), storage=str(tmp_path), name="run")
    subject = Subject.of_run(run, 2.0, 5)
    assert subject.what == "finished run again"
    for workers in (1, 3, 100):
        (found,) = subject.simulate(workers, NONE)
        assert sorted(found.decisions, key=lambda d: (d.search, d.round)) == decisions(run)
        trained = [e for e in run.ledger.evaluations.values() if not e.cached]
        assert found.trainings == len(trained)
        assert found.evaluations == len(run.ledger.evaluations)
        assert found.busy == 2 * found.trainings


def test_of_an_interrupted_run_only_the_rest_is_simulated(tmp_path: Path) -> None:
    config = SearchConfig.of(TABLE | {"nodes": 5, "storage": str(tmp_path), "name": "run"})
    interrupted(config, 5)
    run = Run("run", str(tmp_path))
    subject = Subject.of_run(run, 1.0, 4)
    assert subject.what == "rest of a run"
    for found in subject.simulate(2, NONE):
        assert isinstance(found, Simulated)
        closed = len(run.ledger.decisions) + len(found.decisions)
        assert [d.final for d in found.decisions] == [False] * (len(found.decisions) - 1) + [True]
        assert found.decisions[0].round == len(run.ledger.decisions) + 1
        assert closed == found.decisions[-1].round


def test_a_run_that_has_trained_nothing_needs_seconds(tmp_path: Path) -> None:
    config = SearchConfig.of(TABLE | {"storage": str(tmp_path), "name": "run"})
    interrupted(config, 1)
    for path in tmp_path.rglob("*candidate-*.json"):
        path.unlink()
    with pytest.raises(ConfigError, match="give --seconds-per-candidate"):
        Subject.of_run(Run("run", str(tmp_path)), None, 1)


def test_no_workers_are_no_run() -> None:
    plan = plan_of()
    with pytest.raises(ValueError, match="at least 1 worker, got 0"):
        simulate(plan, Drawn(plan.objective, {1: (1.0,)}), 0, NONE)
