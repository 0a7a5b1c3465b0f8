"""A run goes on where it was cut off, or says why it cannot."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from autoshrink_ray import Run, SearchConfig, drive, run_search
from autoshrink_ray.errors import ConfigError, RoundFailedError, RunInterruptedError
from autoshrink_ray.executors.inprocess import InProcessExecutor
from tests.core.runs import (
    Death,
    Notes,
    content,
    crash,
    decisions,
    interrupted,
    killed,
    results,
)


def test_a_finished_run_is_left_alone(
    tiny: SearchConfig, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_search(tiny)
    before = content(storage)

    def refuse(*arguments: Any) -> Any:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(InProcessExecutor, "ready", refuse)
    notes = Notes()
    again = run_search(tiny, observers=[notes])
    assert content(storage) == before
    assert notes.heard == []
    assert decisions(again) == decisions(first)


@pytest.mark.parametrize("at", [1, 2, 3, 5])
@pytest.mark.parametrize("granularity", ["candidate", "search"])
def test_a_run_that_was_killed_goes_on_to_the_same_end(
    tiny: SearchConfig, at: int, granularity: str
) -> None:
    whole = run_search(tiny, name="whole", searches=2)
    killed(tiny, at, searches=2, granularity=granularity)
    run = Run(f"{tiny.storage}/tiny")
    assert run.status == "open"
    assert len(run.ledger.evaluations) == at
    notes = Notes()
    after = run_search(tiny, observers=[notes], searches=2, granularity=granularity)
    assert after.status == "finished"
    assert decisions(after) == decisions(whole)
    assert results(after) == results(whole)
    assert len(notes.heard[0].evaluations) == at, "observers see where it goes on"
    assert len(notes.evaluations) == len(whole.ledger.evaluations) - at
    assert len(after.ledger.attempts) == 2


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_a_run_whose_ledger_lost_objects_goes_on_to_the_same_end(
    tiny: SearchConfig, storage: Path, kept: int
) -> None:
    """Every fourth object is left, the end of the run not among them."""
    whole = run_search(tiny)
    expected = decisions(whole), results(whole)
    for number, path in enumerate(sorted((storage / "tiny" / "ledger").rglob("*.json"))):
        if number % 4 != kept or path.name.endswith(".end.json"):
            path.unlink()
    again = run_search(tiny)
    assert (decisions(again), results(again)) == expected
    assert again.status == "finished"


def test_results_that_were_not_written_any_more_are_written_later(
    tiny: SearchConfig, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver died after the last decision."""
    with monkeypatch.context() as patch:
        patch.setattr(drive, "write_results", lambda folder: crash())
        with pytest.raises(Death):
            run_search(tiny)
    assert not (storage / "tiny" / "best.cell.json").exists()
    notes = Notes()
    run_search(tiny, observers=[notes])
    assert notes.evaluations == []
    assert (storage / "tiny" / "best.cell.json").exists()
    assert (storage / "tiny" / "evaluations.parquet").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_readable_run_that_goes_on(
    tiny: SearchConfig, storage: Path, number: signal.Signals, code: int
) -> None:
    handler = signal.getsignal(number)
    stop = Notes(3, lambda: signal.raise_signal(number))
    with pytest.raises(RunInterruptedError, match=f"stopped by {number.name}") as caught:
        run_search(tiny, observers=[stop])
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == handler
    run = Run(str(storage / "tiny"))
    assert run.status == "interrupted"
    assert "can be resumed" in run.message
    assert len(stop.evaluations) == 3, "no other candidate was started"
    assert parquet.read_table(storage / "tiny" / "evaluations.parquet").num_rows == 3
    assert (storage / "tiny" / "best.cell.json").exists(), "round 1 was decided"
    assert decisions(run_search(tiny)) == decisions(run_search(tiny, name="whole"))


def test_a_second_ctrl_c_does_not_wait(tiny: SearchConfig) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_search(tiny, observers=[Notes(1, twice)])


def test_a_run_can_be_started_from_another_thread(tiny: SearchConfig) -> None:
    """Where Python allows no signal handlers."""
    found: list[Run] = []
    thread = threading.Thread(target=lambda: found.append(run_search(tiny)))
    thread.start()
    thread.join()
    assert found[0].status == "finished"


def test_the_latest_attempt_says_how_a_run_stands(tiny: SearchConfig, storage: Path) -> None:
    killed(tiny, 1)
    assert Run(str(storage / "tiny")).status == "open"
    interrupted(tiny, 1)
    run = Run(str(storage / "tiny"))
    assert (run.status, run.message) == ("interrupted", "stopped by SIGINT; the run can be resumed")
    killed(tiny, 1)
    assert Run(str(storage / "tiny")).status == "open"
    assert run_search(tiny).status == "finished"


def test_execution_settings_may_change_on_the_way(tiny: SearchConfig) -> None:
    interrupted(tiny, 2, searches=2)
    changes = {"granularity": "search", "max_concurrent": 1, "max_retries": 0, "searches": 2}
    run = run_search(tiny, **changes)
    assert decisions(run) == decisions(run_search(tiny, name="whole", searches=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"nodes": 5}, "nodes was 4, now 5"),
        ({"searches": 2}, "searches was 1, now 2"),
        ({"algorithm": "random", "budget": 5}, "algorithm was 'shrink', now 'random'"),
        ({"cpus_per_trial": 2}, "threads was 1, now 2"),
        ({"cost_weight": 0.5}, "cost_weight was 0.1, now 0.5"),
        ({"macro": {"base_width": 16}}, "macro.base_width was 4, now 16"),
        ({"proxy": {"epochs": 2}}, "proxy.epochs was 1, now 2"),
        (
            {"proxy": {"epochs": 1, "batch_size": 16, "train_per_class": 9, "valid_per_class": 4}},
            "data_fingerprint was '",
        ),
    ],
)
def test_a_name_in_use_with_another_identity_is_refused(
    tiny: SearchConfig, storage: Path, changes: dict[str, Any], message: str
) -> None:
    interrupted(tiny, 2)
    before = content(storage)
    with pytest.raises(ConfigError) as caught:
        run_search(tiny, **changes)
    assert "the run 'tiny' exists with another configuration: " in str(caught.value)
    assert message in str(caught.value)
    assert "choose another --name" in str(caught.value)
    assert content(storage) == before, "nothing of the earlier run is lost"


def test_a_round_without_a_usable_result_fails_the_run(tiny: SearchConfig, storage: Path) -> None:
    diverging = {**tiny.proxy, "learning_rate": 1e30}
    with pytest.raises(RoundFailedError, match=r"round 1: none of 2 candidates .*diverged in"):
        run_search(tiny, proxy=diverging)
    run = Run(str(storage / "tiny"))
    assert run.status == "failed"
    assert "none of 2 candidates has a usable result" in run.message
    assert run.to_dict()["failed"] == 2
    assert run.best is None
    assert run.to_dict()["best"] is None
    assert not (storage / "tiny" / "best.cell.json").exists()
    notes = Notes()
    with pytest.raises(RoundFailedError):
        run_search(tiny, proxy=diverging, observers=[notes])
    assert notes.evaluations == [], "the same failures are not trained again"
