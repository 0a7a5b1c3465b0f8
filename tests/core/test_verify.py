"""`verify`: a run that was changed contradicts itself, whatever was changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoshrink_ray import Run, run_search
from autoshrink_ray.errors import RoundFailedError
from autoshrink_ray.table import from_parquet, to_parquet
from autoshrink_ray.verify import verify
from tests.core.processes import quick
from tests.core.runs import interrupted, killed
from tests.core.verifying import (
    CHECKS,
    change,
    configure,
    contradiction,
    names,
    object_of,
    set_in,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("finished")
    run_search(quick(storage, searches=2, evaluation_seed=7))
    return storage / "run"


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_finished_run_is_consistent(folder: Path) -> None:
    assert names(folder) == CHECKS
    last = list(verify(Run(str(folder)), re_evaluate=4))[-1]
    total = len({(e.seed, e.candidate.topology.key) for e in evaluations(folder)})
    assert last.name == "measurements"
    assert last.answer == f"4 of {total} trainings give the same numbers again"


def evaluations(folder: Path) -> list[Any]:
    return list(Run(str(folder)).ledger.evaluations.values())


@pytest.mark.parametrize("leave", [interrupted, killed])
@pytest.mark.parametrize("at", [1, 3, 5])
def test_so_is_one_that_is_not_finished(storage: Path, leave: Any, at: int) -> None:
    leave(quick(storage), at)
    assert names(storage / "run", re_evaluate=2) == [*CHECKS, "measurements"]
    run_search(quick(storage))
    assert names(storage / "run") == CHECKS


def test_so_is_one_whose_driver_died_before_it_wrote_its_last_decision(folder: Path) -> None:
    for end in (folder / "ledger").glob("*.end.json"):
        end.unlink()
    sorted((folder / "ledger" / "search-000").rglob("*decision.json"))[-1].unlink()
    assert names(folder) == CHECKS


def test_so_is_one_that_was_extended(storage: Path) -> None:
    run_search(quick(storage, keep_fraction=0.6))
    run_search(quick(storage, searches=2, keep_fraction=0.3), extend=True)
    assert names(storage / "run") == CHECKS


def test_so_is_one_that_failed_because_no_candidate_was_usable(storage: Path) -> None:
    policy = run_search(quick(storage, name="whole")).ledger.evaluations.values()
    keys = [e.candidate.topology.key for e in policy if e.candidate.round == 2]
    failing = quick(storage, proxy={"diverges": keys}, searches=2)
    with pytest.raises(RoundFailedError):
        run_search(failing)
    assert Run(str(storage / "run")).status == "failed"
    assert names(storage / "run") == CHECKS


def test_so_is_a_random_search(storage: Path) -> None:
    run_search(quick(storage, algorithm="random", budget=6))
    assert names(storage / "run", re_evaluate=6) == [*CHECKS, "measurements"]


def test_a_checksum_that_does_not_match_is_a_contradiction(folder: Path) -> None:
    path = object_of(folder, "round-002-candidate-0001")
    path.write_bytes(path.read_bytes().replace(b"accuracy", b"accurasy", 1))
    said = contradiction(folder)
    assert str(path.relative_to(folder)) in said
    assert "its checksum does not match" in said


def test_an_object_under_another_name_is_a_contradiction(folder: Path) -> None:
    path = object_of(folder, "round-002-candidate-0001")
    path.rename(path.with_name("round-002-candidate-0009.json"))
    assert "it belongs under another name" in contradiction(folder)


EVALUATIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another edge gone": (
        set_in("candidate", "removed", to=lambda edge: [0, 1] if edge != [0, 1] else [0, 2]),
        "the candidate is not its parent minus edge",
    ),
    "an edge less": (
        set_in("candidate", "topology", "edges", to=lambda edges: edges[1:]),
        "the candidate is not its parent minus edge",
    ),
    "another operation": (
        set_in("candidate", "topology", "ops", 1, to=lambda op: "b" if op == "a" else "a"),
        "the candidate is not its parent minus edge",
    ),
    "another seed": (set_in("seed", to=lambda seed: seed + 1), "holds another topology or seed"),
    "another accuracy": (
        set_in("measurement", "metrics", "accuracy", to=lambda value: value + 0.001),
        "does not follow from its evaluations",
    ),
    "another cost": (
        set_in("measurement", "metrics", "macs", to=lambda value: value * 2),
        "does not follow from its evaluations",
    ),
    "a failure": (
        lambda body: body["measurement"].update(status="failed", metrics={}, reason="no luck"),
        "does not follow from its evaluations",
    ),
}


@pytest.mark.parametrize("kind", EVALUATIONS)
@pytest.mark.parametrize("place", ["round-001-candidate-0000", "round-003-candidate-0001"])
def test_a_changed_evaluation_is_a_contradiction(folder: Path, kind: str, place: str) -> None:
    edit, message = EVALUATIONS[kind]
    change(object_of(folder, place), edit)
    assert message in contradiction(folder)


DECISIONS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another winner": (
        set_in("winner", to=lambda index: (index + 1) % 3),
        "does not follow from its evaluations",
    ),
    "another score": (
        set_in("score", to=lambda score: score + 0.001),
        "does not follow from its evaluations",
    ),
    "another order": (
        set_in("ranking", to=lambda lines: lines[::-1]),
        "does not follow from its evaluations",
    ),
    "a candidate that failed": (
        set_in("failed", to=[2]),
        "does not follow from its evaluations",
    ),
    "another cell": (
        set_in("topology", "edges", to=lambda edges: edges[1:]),
        "is not its parent minus edge",
    ),
    "another parent": (
        set_in("parent", "edges", to=lambda edges: edges[1:]),
        "the parent is not what the round before decided",
    ),
}


@pytest.mark.parametrize("kind", DECISIONS)
@pytest.mark.parametrize("place", ["round-001-decision", "round-003-decision"])
def test_a_changed_decision_is_a_contradiction(folder: Path, kind: str, place: str) -> None:
    edit, message = DECISIONS[kind]
    change(object_of(folder, place), edit)
    assert message in contradiction(folder)


def test_a_decision_that_rests_on_another_round_is_a_contradiction(folder: Path) -> None:
    other = object_of(folder, "round-001-candidate-0000").relative_to(folder)
    change(object_of(folder, "round-002-decision"), lambda body: None, [str(other)])
    assert "uses another round's evaluation" in contradiction(folder)


def test_a_missing_decision_is_a_contradiction(folder: Path) -> None:
    object_of(folder, "round-002-decision").unlink()
    assert "round 3: the parent is not what the round before decided" in contradiction(folder)


def test_a_missing_evaluation_is_a_contradiction(folder: Path) -> None:
    object_of(folder, "round-002-candidate-0001").unlink()
    assert contradiction(folder) == (
        "the evaluation of search 0, round 2, candidate 1 is gone, on which the round's decision "
        "rests: start the run again under its name, and it is evaluated again"
    )


@pytest.mark.parametrize("place", [(0, 1, 7), (0, 40, 0), (5, 1, 0)])
def test_an_evaluation_that_nothing_asks_for_is_a_contradiction(
    folder: Path, place: tuple[int, int, int]
) -> None:
    search, number, index = place
    source = object_of(folder, "round-001-candidate-0000")
    attempt = folder / "ledger" / f"search-{search:03d}" / source.parent.name
    attempt.mkdir(exist_ok=True, parents=True)
    path = attempt / f"round-{number:03d}-candidate-{index:04d}.json"
    shutil.copy(source, path)

    def move(body: dict[str, Any]) -> None:
        body["candidate"].update(search=search, round=number, index=index)

    change(path, move)
    said = contradiction(folder)
    assert str(path.relative_to(folder)) in said
    assert "the search has no such candidate" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "holds another topology or seed"),
        ({"evaluation_seed": 8}, "holds another topology or seed"),
        ({"candidates": 2}, "does not follow from its evaluations"),
        ({"cost_weight": 2.0}, "does not follow from its evaluations"),
        ({"keep_fraction": 0.8}, "decisions are in the ledger, and the policy comes to"),
    ],
)
def test_another_configuration_is_a_contradiction(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    configure(folder, "config", **changes)
    assert "run.yaml states" in contradiction(folder)
    configure(folder, "identity", **changes)
    found = contradiction(folder)
    assert message in found or "parent minus edge" in found or "the parent is not" in found


def test_a_best_cell_of_another_run_is_a_contradiction(folder: Path) -> None:
    path = folder / "best.cell.json"
    cell = json.loads(path.read_text())
    path.write_text(json.dumps(cell | {"score": cell["score"] + 0.1}))
    assert contradiction(folder) == "best.cell.json is not the best cell of the ledger"
    path.write_text("{")
    assert "best.cell.json is not valid JSON" in contradiction(folder)
    path.unlink()
    assert "cannot read" in contradiction(folder)


@pytest.mark.parametrize(
    "changes", [{"score": 0.123}, {"space": "another"}, {"metrics": {"accuracy": 1.0}}]
)
def test_a_changed_cell_of_a_round_is_a_contradiction(
    folder: Path, changes: dict[str, Any]
) -> None:
    name = "cells/search-001/round-002.cell.json"
    path = folder / name
    cell = json.loads(path.read_text())
    path.write_text(json.dumps(cell | changes))
    assert contradiction(folder) == f"{name} is not the cell that its round decided on"
    path.write_text(json.dumps(cell | {"edges": cell["edges"][:-1]}))
    assert contradiction(folder) == f"{name} is not the cell that its round decided on"
    path.write_text("{")
    assert f"{name} is not valid JSON" in contradiction(folder)
    path.unlink()
    assert "cannot read" in contradiction(folder)


def test_a_table_of_other_evaluations_is_a_contradiction(folder: Path) -> None:
    path = folder / "evaluations.parquet"
    whole = from_parquet(path.read_bytes())
    path.write_bytes(to_parquet(whole.slice(1)))
    assert contradiction(folder) == "evaluations.parquet holds other evaluations than the ledger"
    path.write_bytes(path.read_bytes()[:-7])
    assert "evaluations.parquet is damaged" in contradiction(folder)
    path.write_bytes(to_parquet(whole.drop_columns(["node"])))
    assert names(folder) == CHECKS, "where it was trained is no result"


def test_other_data_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.plugins.table.Nothing.fingerprint", "1" * 64)
    assert names(folder) == CHECKS, "without training nobody needs them"
    assert "the data are not those of the run" in contradiction(folder, re_evaluate=1)
