"""Two drivers on one run that no lease keeps apart: twice the work, one answer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoshrink_ray import Run, run_search
from autoshrink_ray.ledger import read_ledger
from autoshrink_ray.verify import verify
from tests.core.processes import Driver, noisy, quick
from tests.core.runs import decisions, results


def test_two_that_start_together_come_to_one_answer(storage: Path) -> None:
    whole = run_search(quick(storage, name="whole"))
    config = quick(storage, proxy={"seconds": 0.05})
    with Driver(config, lease=False) as one, Driver(config, lease=False) as two:
        answers = [driver.wait_for("end")["best"] for driver in (one, two)]
        assert [one.end(), two.end()] == [(0, ""), (0, "")]
    run = Run(str(storage / "run"))
    assert answers[0] == answers[1]
    assert decisions(run) == decisions(whole)
    assert len({name.partition("-")[2] for name in run.ledger.attempts}) == 2
    assert all(check.answer for check in verify(run))


def test_one_of_two_dies(storage: Path) -> None:
    """They measure other numbers, so they decide otherwise, too."""
    config = quick(storage, proxy={"seconds": 0.05})
    with Driver(config, lease=False) as one, Driver(config, lease=False, noise=0.37) as two:
        one.wait_for("decision", 3)
        one.process.kill()
        assert two.end()[0] == 0
    run = run_search(config)
    assert run.status == "finished"
    assert all(check.answer for check in verify(run))


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What each of two drivers would write if it were alone; they come to other decisions."""
    place = tmp_path_factory.mktemp("two")
    one = run_search(quick(place / "one"))
    with noisy(0.37):
        two = run_search(quick(place / "two"))
    assert decisions(one) != decisions(two)
    return place / "one" / "run", place / "two" / "run"


def in_order(folder: Path) -> list[Path]:
    """Ledger objects as they were written; a driver that dies writes no end."""
    paths = (folder / "ledger" / "search-000").rglob("*.json")
    return [path.relative_to(folder) for path in sorted(paths, key=lambda p: p.stat().st_mtime_ns)]


def test_another_drivers_longer_search_is_no_contradiction(storage: Path) -> None:
    """The one that counts was at its end after fewer rounds."""
    short = run_search(quick(storage, name="run"))
    for noise in (number / 20 for number in range(1, 20)):
        with noisy(noise):
            other = run_search(quick(storage, name=f"{noise}"))
        if len(decisions(other)) > len(decisions(short)) + 1:
            break
    else:
        raise AssertionError("no noise gives a longer search")
    for path in in_order(storage / other.name):
        late = path.parent.parent / f"0002-{path.parent.name.partition('-')[2]}" / path.name
        (storage / "run" / late).parent.mkdir(exist_ok=True)
        shutil.copy(storage / other.name / path, storage / "run" / late)
    run = Run(str(storage / "run"))
    assert decisions(run) == decisions(short)
    assert all(check.answer for check in verify(run))


@settings(max_examples=15)
@given(data=st.data())
def test_whatever_two_drivers_left_goes_on_to_one_consistent_run(
    two_runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Both dead at any moment of theirs, in a round of the same number or far from each other."""
    storage = tmp_path_factory.mktemp("both")
    shutil.copytree(two_runs[0], storage / "run", ignore=shutil.ignore_patterns("ledger"))
    for folder in two_runs:
        written = in_order(folder)
        for path in written[: data.draw(st.integers(0, len(written)))]:
            (storage / "run" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / path, storage / "run" / path)
    before = read_ledger(Run(str(storage / "run")).folder)
    run = run_search(quick(storage))
    assert run.status == "finished"
    assert before.decisions.items() <= run.ledger.decisions.items(), "what counted still does"
    assert all(check.answer for check in verify(run))
    again = run_search(quick(storage))
    assert (decisions(again), results(again)) == (decisions(run), results(run))
    shutil.rmtree(storage)
