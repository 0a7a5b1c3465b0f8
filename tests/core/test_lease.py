"""One driver at a time: who holds a run, how long, and what happens to the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autoshrink_ray import Decision, Run, lease, run_search
from autoshrink_ray.errors import ConfigError, RunHeldError
from autoshrink_ray.lease import Lease, held
from autoshrink_ray.ledger import read_objects
from autoshrink_ray.storage import Folder
from autoshrink_ray.verify import verify
from tests.core.processes import EXPIRY, HEARTBEAT, Driver, quick
from tests.core.runs import Notes, content, decisions


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease whose end a test can wait for."""
    monkeypatch.setattr(lease, "HEARTBEAT", HEARTBEAT)
    monkeypatch.setattr(lease, "EXPIRY", EXPIRY)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run"))


def elsewhere(folder: Folder, **changes: object) -> Lease:
    """A lease that a driver on another machine left."""
    left = Lease.mine().model_copy(update={"host": "elsewhere", "token": "other", **changes})
    folder.write("lease.json", left.model_dump_json().encode())
    return left


def test_a_second_driver_is_refused_while_the_first_lives(storage: Path) -> None:
    with Driver(quick(storage, proxy={"seconds": 0.3})) as first:
        first.wait_for("evaluation")
        before = Run(str(storage / "run")).ledger.attempts
        with Driver(quick(storage, proxy={"seconds": 0.3})) as second:
            code, error = second.end()
        assert code == 2
        assert error.count("\n") == 1
        assert f"is being driven by process {first.process.pid} on " in error
        assert "wait for it, stop it, or choose another --name" in error
        assert first.end() == (0, "")
    run = Run(str(storage / "run"))
    assert run.status == "finished"
    assert run.ledger.attempts == before, "the second one left nothing"
    assert not (storage / "run" / "lease.json").exists()


def test_a_dead_drivers_run_goes_on(storage: Path) -> None:
    """SIGKILL gives no lease back; on the same machine nobody has to wait."""
    with Driver(quick(storage, proxy={"seconds": 0.1})) as first:
        first.wait_for("evaluation", 4)
        first.process.kill()
    assert (storage / "run" / "lease.json").exists()
    notes = Notes()
    run = run_search(quick(storage, proxy={"seconds": 0.1}), observers=[notes])
    assert notes.notices == [], "there was nothing to wait for"
    whole = run_search(quick(storage, name="whole"))
    assert decisions(run) == decisions(whole)
    assert not (storage / "run" / "lease.json").exists()


def test_a_lease_without_a_sign_of_life_is_void(folder: Folder) -> None:
    elsewhere(folder)
    told: list[str] = []
    with held(folder, told.append) as hold:
        assert not hold.is_lost_now()
        assert Lease.model_validate_json(folder.read("lease.json")).pid == os.getpid()
    assert not folder.exists("lease.json")
    assert told == [
        f"a driver on elsewhere (process {os.getpid()}) held this run last; watching for "
        f"{EXPIRY:.0f} s whether it is alive"
    ]


def test_a_lease_of_another_start_of_this_machine_says_nothing_of_its_process() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = Lease.mine().model_copy(update={"pid": gone.pid})
    assert mine.surely_dead
    assert not Lease.mine().surely_dead
    assert not mine.model_copy(update={"boot": "before"}).surely_dead
    assert not mine.model_copy(update={"host": "elsewhere"}).surely_dead


@pytest.mark.parametrize("damaged", [b"", b"{", b'{"token": 3}', b"\xff"])
def test_a_damaged_lease_holds_nobody_up(folder: Folder, damaged: bytes) -> None:
    folder.write("lease.json", damaged)
    with held(folder) as hold:
        assert not hold.is_lost_now()
    assert not folder.exists("lease.json")


def test_a_lease_that_another_one_has_is_not_given_back(folder: Folder) -> None:
    with held(folder) as hold:
        other = elsewhere(folder)
        assert hold.is_lost_now()
        assert hold.lost
    assert Lease.model_validate_json(folder.read("lease.json")) == other


def test_a_lease_that_another_one_had_and_gave_back_is_lost(folder: Folder) -> None:
    with held(folder) as hold:
        folder.remove("lease.json")
        assert hold.is_lost_now()
        hold.join()
    assert not folder.exists("lease.json"), "no sign of life brings it back"


def test_an_interrupted_or_failed_start_gives_the_lease_back(folder: Folder) -> None:
    with pytest.raises(KeyboardInterrupt), held(folder):
        raise KeyboardInterrupt
    assert not folder.exists("lease.json")


def test_signs_of_life_do_not_stop_while_training_holds_the_driver(folder: Folder) -> None:
    with held(folder):
        with pytest.raises(RunHeldError), held(folder):
            pass
        assert Lease.model_validate_json(folder.read("lease.json")).beat > 0


def test_the_run_is_compared_again_once_it_is_free(storage: Path) -> None:
    """While this one waited, another one started the run with another seed, and ended."""
    other = run_search(quick(storage, name="other", seed=1))
    run_yaml = other.folder.read("run.yaml")
    folder = Folder(str(storage / "run"))
    elsewhere(folder)

    class Meanwhile(Notes):
        def on_notice(self, text: str) -> None:
            folder.write("run.yaml", run_yaml)

    with pytest.raises(ConfigError, match="seed was 1, now 0"):
        run_search(quick(storage), observers=[Meanwhile()])
    assert content(storage / "run") == {"run.yaml": run_yaml}


@pytest.mark.parametrize("until", ["decision", "end"])
def test_a_driver_that_slept_past_the_takeover_stops(storage: Path, until: str) -> None:
    """Also one that wakes up after the other one has finished and given the lease back."""
    config = quick(storage, proxy={"seconds": 0.1})
    whole = run_search(quick(storage, name="whole"))
    with Driver(config) as first:
        first.wait_for("evaluation", 4)
        first.process.send_signal(signal.SIGSTOP)
        with Driver(config) as second:
            assert "watching for" in second.wait_for("notice")["text"]
            second.wait_for(until)
            first.process.send_signal(signal.SIGCONT)
            code, error = first.end()
            assert code == 1
            assert error.startswith("TakenOverError: another driver took this run over")
            assert second.end() == (0, "")
    run = Run(str(storage / "run"))
    assert (run.status, run.last_end) == ("finished", "finished")
    assert decisions(run) == decisions(whole)
    assert [check.name for check in verify(run)][-1] == "results"


def test_a_driver_without_signs_of_life_decides_nothing_after_the_takeover(storage: Path) -> None:
    """It works on all the time, and what it measures differs, so its decisions would, too."""
    config = quick(storage, proxy={"seconds": 0.25})
    with Driver(config, heartbeat=1000) as first:
        first.wait_for("evaluation")
        with Driver(config, noise=0.37) as second:
            code, error = first.end()
            assert (code, error.split(":")[0]) == (1, "TakenOverError")
            assert second.end() == (0, "")
    run = Run(str(storage / "run"))
    assert run.status == "finished"
    early, late = run.ledger.attempts
    last = max(kept.record.round for kept in _decisions_of(run, early))
    assert min(kept.record.round for kept in _decisions_of(run, late)) == last + 1
    assert [check.name for check in verify(run)][-1] == "results"


def _decisions_of(run: Run, attempt: str) -> list[Any]:
    objects, _ = read_objects(run.folder)
    return [o for o in objects if isinstance(o.record, Decision) and f"/{attempt}/" in o.name]
