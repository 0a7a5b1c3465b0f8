"""Damaged ledger objects: named, set aside, and made again where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.errors import FileFormatError
from autoshrink_ray.verify import verify
from tests.core.processes import noisy, quick
from tests.core.runs import Notes, content, decisions, interrupted, results

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "truncated": lambda whole: whole[: len(whole) // 2],
    "one bit flipped": lambda whole: whole[:300] + bytes([whole[300] ^ 4]) + whole[301:],
    "another version": lambda whole: whole.replace(b'"schema_version":1', b'"schema_version":3'),
    "a number changed": lambda whole: whole.replace(b"accuracy", b"accurasy", 1),
}


def some(storage: Path, pattern: str) -> Path:
    return sorted((storage / "tiny" / "ledger").rglob(pattern))[0]


def test_a_finished_run_that_lost_an_evaluation_is_completed(
    tiny: SearchConfig, storage: Path
) -> None:
    whole = run_search(tiny)
    expected = decisions(whole), results(whole)
    some(storage, "*candidate-0001.json").unlink()
    notes = Notes()
    again = run_search(tiny, observers=[notes])
    assert (decisions(again), results(again)) == expected
    assert (len(notes.evaluations), again.status) == (1, "finished")
    assert all(verify(again))


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_evaluation_is_set_aside_and_evaluated_again(
    tiny: SearchConfig, storage: Path, kind: str
) -> None:
    whole = run_search(tiny)
    expected = decisions(whole), results(whole)
    path = some(storage, "*candidate-0001.json")
    damaged = DAMAGES[kind](path.read_bytes())
    path.write_bytes(damaged)
    for end in (storage / "tiny" / "ledger").glob("*.end.json"):
        end.unlink()
    assert [d.name for d in Run(str(storage / "tiny")).ledger.damaged] == [
        str(path.relative_to(storage / "tiny"))
    ]
    notes = Notes()
    again = run_search(tiny, observers=[notes])
    assert (decisions(again), results(again)) == expected
    assert len(notes.evaluations) == 1
    assert any(path.name in text and "is damaged" in text for text in notes.notices)
    aside = storage / "tiny" / "damaged" / path.relative_to(storage / "tiny")
    assert aside.read_bytes() == damaged
    assert not path.exists()


def test_a_damaged_decision_is_refused_with_the_remedy(tiny: SearchConfig, storage: Path) -> None:
    whole = run_search(tiny)
    expected = decisions(whole), results(whole)
    path = some(storage, "*round-001-decision.json")
    path.write_bytes(path.read_bytes()[:-9])
    for end in (storage / "tiny" / "ledger").glob("*.end.json"):
        end.unlink()
    before = content(storage)
    with pytest.raises(FileFormatError, match=r"decision of search 0, round 1.*delete it, and"):
        run_search(tiny)
    assert content(storage) == before
    path.unlink()
    notes = Notes()
    again = run_search(tiny, observers=[notes])
    assert (decisions(again), results(again)) == expected
    assert not notes.evaluations, "no training is done again"


def test_a_damaged_end_is_set_aside(tiny: SearchConfig, storage: Path) -> None:
    interrupted(tiny, 2)
    path = next((storage / "tiny" / "ledger").glob("*.end.json"))
    path.write_bytes(b"{")
    assert run_search(tiny).status == "finished"
    assert not path.exists()


GRANULARITIES = ["candidate", "search"]


def emptied(storage: Path, name: str) -> Path:
    path = next((storage / "run" / "ledger").rglob(f"{name}.json"))
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("at", [3, 4, 7, 9, 11])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_search_goes_on_from_damage_in_a_round_that_is_decided(
    storage: Path, granularity: str, at: int, index: int
) -> None:
    """With one trial a search, too, which knows only what it was given."""
    whole = run_search(quick(storage, name="whole"))
    interrupted(quick(storage), at)
    emptied(storage, f"round-001-candidate-{index:04d}")
    notes = Notes()
    again = run_search(quick(storage, granularity=granularity), observers=[notes])
    assert (decisions(again), results(again)) == (decisions(whole), results(whole))
    assert len(notes.evaluations) == len(results(whole)) - at + 1


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("noise", [0.001, 0.3])
def test_a_decision_stands_when_what_it_rests_on_is_measured_with_other_digits(
    storage: Path, granularity: str, index: int, noise: float
) -> None:
    """Whichever candidate it was, the winner or another one."""
    interrupted(quick(storage), 8)
    decided = decisions(Run(str(storage / "run")))
    assert [decision.round for decision in decided] == [1, 2]
    emptied(storage, f"round-001-candidate-{index:04d}")
    emptied(storage, "round-002-candidate-0001")
    notes = Notes()
    with noisy(noise):
        run = run_search(quick(storage, granularity=granularity), observers=[notes])
    assert decisions(run)[:2] == decided
    places = [e.candidate.place for e in notes.evaluations]
    assert places[:2] == [(0, 1, index), (0, 2, 1)], "both are in the record again"
    assert len(set(places)) == len(places)
    assert all("is gone" not in check.answer for check in verify(run))


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_so_it_does_when_the_run_stops_again_after_that(storage: Path, granularity: str) -> None:
    interrupted(quick(storage), 8)
    decided = decisions(Run(str(storage / "run")))
    emptied(storage, "round-001-candidate-0001")
    with noisy(0.3):
        interrupted(quick(storage, granularity=granularity), 2)
    run = run_search(quick(storage, granularity=granularity))
    assert decisions(run)[:2] == decided
    (answer,) = (check.answer for check in verify(run) if check.name == "decisions")
    assert "lost after that and measured again: 1," in answer
