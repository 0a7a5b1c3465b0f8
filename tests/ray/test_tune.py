"""Whole runs as Ray Tune experiments, with trials that are looked up instead of trained."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.schedulers import FIFOScheduler

from autoshrink_ray import Decision, Run, RunObserver, SearchConfig, run_search
from autoshrink_ray.analysis import cost_account
from autoshrink_ray.errors import (
    ConfigError,
    LedgerError,
    RetriesExhaustedError,
    RoundFailedError,
    RunError,
)
from autoshrink_ray.executors import tune as executor
from autoshrink_ray.ledger import Ledger
from autoshrink_ray.plan import Plan
from autoshrink_ray.work import Activity

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


@pytest.fixture
def table(tmp_path: Path) -> SearchConfig:
    """A run of about six rounds with trials of no length."""
    return SearchConfig.of(
        {
            "space": "table",
            "plugins": ("tests.plugins.table",),
            "storage": str(tmp_path / "runs"),
            "nodes": 5,
            "candidates": 3,
            "max_concurrent": 2,
            "tensorboard": "off",
        }
    )


def decisions(run: Run) -> list[Decision]:
    return list(run.ledger.decisions.values())


def in_process(config: SearchConfig, **changes: Any) -> Run:
    return run_search(config, executor="in-process", **changes)


def first_keys(config: SearchConfig) -> list[str]:
    """Keys of the first round's candidates."""
    search = Plan.of(config).searches()[0]
    return [candidate.topology.key for candidate in search.policy.propose()]


@pytest.mark.parametrize("algorithm", [{}, {"algorithm": "random", "budget": 7}])
@pytest.mark.parametrize(
    "execution",
    [
        {"max_concurrent": 1},
        {"max_concurrent": 4},
        {"granularity": "search"},
        {"cpus_per_trial": 0.5},
    ],
)
def test_decisions_depend_on_configuration_and_seed_alone(
    table: SearchConfig, execution: dict[str, Any], algorithm: dict[str, Any]
) -> None:
    changes = {"searches": 2, **algorithm}
    expected = decisions(in_process(table, **changes))
    assert decisions(run_search(table, **changes, **execution)) == expected
    assert len(expected) > 1


def test_a_search_starts_at_most_as_many_workers_as_it_has_slots(
    table: SearchConfig, tmp_path: Path
) -> None:
    run = run_search(table, proxy={"folder": str(tmp_path), "seconds": 0.05})
    assert len(run.searches[0].rounds) >= 5
    assert 1 <= len(list(tmp_path.glob("pid-*"))) <= 2


def test_candidates_of_several_searches_interleave(table: SearchConfig) -> None:
    run = run_search(table, searches=3, proxy={"seconds": 0.02})
    by_end = sorted(run.ledger.evaluations.values(), key=lambda evaluation: evaluation.ended)
    turns = [evaluation.candidate.search for evaluation in by_end]
    changes = sum(a != b for a, b in pairwise(turns))
    assert changes > len(run.searches), "each search ran by itself"


def test_a_worker_that_dies_costs_a_retry_and_no_decision(
    table: SearchConfig, tmp_path: Path
) -> None:
    expected = decisions(in_process(table))
    victim = first_keys(table)[1]
    run = run_search(table, proxy={"folder": str(tmp_path), "dies": (victim,)})
    assert [d.topology for d in decisions(run)] == [d.topology for d in expected]
    assert run.to_dict()["failed"] == 0
    attempts = [e.attempts for e in run.ledger.evaluations.values() if not e.cached]
    assert sorted(attempts)[-1] == 2
    lost = {e.attempts: e.lost_seconds for e in run.ledger.evaluations.values()}
    assert lost[2] > lost[1] == 0


def test_a_training_that_hangs_in_native_code_is_lost_and_tried_again(
    table: SearchConfig, tmp_path: Path
) -> None:
    expected = [d.topology for d in decisions(in_process(table))]
    proxy = {"folder": str(tmp_path), "hangs": first_keys(table)[:1]}
    run = run_search(table, trial_timeout=2, proxy=proxy)
    assert [d.topology for d in decisions(run)] == expected
    assert run.to_dict()["failed"] == 0
    assert max(e.attempts for e in run.ledger.evaluations.values()) == 2
    assert cost_account(run).lost_seconds > 1.5, "nearly as long as its limit"


class KillIdleWorkers(RunObserver):
    """Kills every worker process at the end of the first rounds, when they are idle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.killed = 0

    def on_decision(self, decision: Any) -> None:
        if decision.round > 2:
            return
        for path in self.folder.glob("pid-*"):
            path.unlink()
            os.kill(int(path.name.removeprefix("pid-")), signal.SIGKILL)
            self.killed += 1


def test_idle_workers_that_die_between_rounds_are_replaced(
    table: SearchConfig, tmp_path: Path
) -> None:
    expected = [d.topology for d in decisions(in_process(table))]
    killer = KillIdleWorkers(tmp_path)
    run = run_search(table, proxy={"folder": str(tmp_path)}, observers=[killer])
    assert killer.killed >= 2
    assert [d.topology for d in decisions(run)] == expected


def test_a_candidate_that_is_lost_too_often_stops_the_run_and_it_can_go_on(
    table: SearchConfig, tmp_path: Path
) -> None:
    victim = first_keys(table)[0]
    with pytest.raises(RetriesExhaustedError, match=r"lost 2 times .*no luck with"):
        run_search(table, name="unlucky", max_retries=1, proxy={"raises": (victim,)})
    run = Run(str(tmp_path / "runs" / "unlucky"))
    assert run.status == "failed"
    assert "lost 2 times" in run.message
    assert not run.ledger.decisions


def test_diverged_candidates_fail_and_the_search_goes_on(table: SearchConfig) -> None:
    keys = first_keys(table)
    run = run_search(table, proxy={"diverges": (keys[0],)})
    first = run.searches[0].rounds[0]
    assert first.failed == (0,)
    assert run.status == "finished"
    reasons = {row["reason"] for row in run.table.to_pylist() if row["status"] == "failed"}
    assert reasons == {"diverged in epoch 1"}


def test_a_round_without_any_result_fails_the_run(table: SearchConfig) -> None:
    with pytest.raises(RoundFailedError, match="diverged in epoch 1"):
        run_search(table, name="hopeless", proxy={"diverges": tuple(first_keys(table))})


@pytest.mark.parametrize("granularity", ["candidate", "search"])
def test_out_of_memory_is_tried_again_alone_on_the_device(
    table: SearchConfig, tmp_path: Path, granularity: str
) -> None:
    expected = [d.topology for d in decisions(in_process(table))]
    full = {"folder": str(tmp_path), "fills_memory": first_keys(table)[:1]}
    run = run_search(table, granularity=granularity, proxy=full)
    assert [d.topology for d in decisions(run)] == expected
    assert run.to_dict()["failed"] == 0


def test_a_ledger_that_cannot_be_written_ends_the_run(
    table: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Ledger, evaluation: Any) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(Ledger, "append_evaluation", full)
    with pytest.raises(LedgerError, match="the disk is full"):
        run_search(table)


class Activities(RunObserver):
    def __init__(self) -> None:
        self.heard: list[Activity] = []

    def on_activity(self, activity: Activity) -> None:
        self.heard.append(activity)


def test_observers_hear_of_each_training_as_it_begins_and_ends(
    table: SearchConfig, tmp_path: Path
) -> None:
    watcher = Activities()
    victim = first_keys(table)[1]
    proxy = {"folder": str(tmp_path), "dies": (victim,), "seconds": 0.05}
    run = run_search(table, searches=2, proxy=proxy, observers=[watcher])
    busy = [activity.busy for activity in watcher.heard]
    began = sum(after > before for before, after in pairwise(busy))
    assert began == sum(e.attempts for e in run.ledger.evaluations.values() if not e.cached)
    assert (busy[0], busy[-1]) == (0, 0)
    assert all(sum(a.running.values()) == a.busy <= a.at_once == 2 for a in watcher.heard)


class BrokenWatcher(RunObserver):
    def on_activity(self, activity: Activity) -> None:
        if activity.busy:
            raise ZeroDivisionError("an observer that only watches")


def test_an_error_of_an_observer_that_watches_ends_the_run_as_it_is(table: SearchConfig) -> None:
    with pytest.raises(ZeroDivisionError, match="only watches"):
        run_search(table, name="watched", observers=[BrokenWatcher()])
    assert Run("watched", table.storage).status == "failed"


class Broken(RunObserver):
    def on_evaluation(self, evaluation: Any) -> None:
        raise ZeroDivisionError("an observer of the user's")


def test_an_error_of_an_observer_ends_the_run_as_it_is(table: SearchConfig) -> None:
    with pytest.raises(ZeroDivisionError, match="an observer of the user's"):
        run_search(table, name="broken", observers=[Broken()])
    run = Run("broken", table.storage)
    assert run.status == "failed"
    assert "ZeroDivisionError" in run.message
    assert len(run.ledger.evaluations) >= 1


def test_fifo_cannot_stand_in_for_the_scheduler(
    table: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The searcher only translates: without the scheduler nothing is ever decided."""
    config = tune.TuneConfig

    def with_fifo(**settings: Any) -> tune.TuneConfig:
        return config(**settings | {"scheduler": FIFOScheduler()})

    monkeypatch.setattr(executor.tune, "TuneConfig", with_fifo)
    with pytest.raises(RunError, match="its scheduler was not told"):
        run_search(table, name="fifo")
    run = Run("fifo", table.storage)
    assert not run.ledger.evaluations
    assert not run.ledger.decisions


def test_a_trial_that_fits_on_no_node_is_refused_before_anything_is_created(
    table: SearchConfig, tmp_path: Path
) -> None:
    for resources in ({"cpus_per_trial": 512}, {"gpus_per_trial": 1}):
        with pytest.raises(ConfigError, match=r"a trial asks for .* the largest has 4 CPUs"):
            run_search(table, name="greedy", **resources)
    assert not (tmp_path / "runs" / "greedy").exists()
