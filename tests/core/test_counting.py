"""What counts in a ledger once an object of it is lost or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoshrink_ray.ledger import Ledger, read_ledger
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.storage import Folder
from tests.contracts.scoring import complete
from tests.core.test_ledger import ALL


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run"))


def first_round(folder: Folder) -> tuple[Decision, list[Evaluation]]:
    """Writes the evaluations of a round and its decision."""
    decision = next(d for d in ALL.decisions if (d.search, d.round) == (0, 1))
    evaluations = [e for e in ALL.evaluations if e.candidate.place[:2] == (0, 1)]
    ledger = Ledger(folder, "0001-a")
    for record in evaluations:
        ledger.append_evaluation(record)
    ledger.append_decision(decision)
    return decision, evaluations


def test_a_decision_stands_without_one_of_its_evaluations(folder: Folder) -> None:
    decision, evaluations = first_round(folder)
    whole = read_ledger(folder)
    assert (whole.lost, whole.remade) == ([], frozenset())
    place = evaluations[1].candidate.place
    folder.remove(whole.sources[place])
    contents = read_ledger(folder)
    assert contents.decisions == {(0, 1): decision}
    assert (contents.lost, contents.remade) == ([place], frozenset())
    again = evaluations[1].model_copy(update={"measurement": complete(0.99)})
    Ledger(folder, "0002-b", contents.sources).append_evaluation(again)
    contents = read_ledger(folder)
    assert contents.evaluations[place] == again
    assert contents.decisions == {(0, 1): decision}
    assert (contents.lost, contents.remade) == ([], {place})


@pytest.mark.parametrize(
    ("name", "kind", "consequence"),
    [
        ("search-000/0001-a/round-001-candidate-0001.json", "evaluation", "is evaluated again"),
        ("search-000/0002-b/round-001-candidate-0000.json", "evaluation", "evaluation of that"),
        ("search-000/0002-b/round-001-decision.json", "decision", "decision of that round counts"),
        ("0001-a.end.json", "end", "how that attempt ended"),
        ("search-000/notes.json", None, "nothing of the run"),
    ],
)
def test_what_follows_from_damage(
    folder: Folder, name: str, kind: str | None, consequence: str
) -> None:
    first_round(folder)
    folder.write(f"ledger/{name}", b"")
    contents = read_ledger(folder)
    (found,) = contents.damaged
    assert found.kind == kind
    assert consequence in contents.consequence(found)
