"""What is in the ledger stays in it, and is either read as it was written or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.errors import LedgerError, NewerFormatError
from autoshrink_ray.ledger import (
    End,
    Ledger,
    LedgerContents,
    LedgerWriter,
    MemoryLedger,
    next_attempt,
    read_ledger,
)
from autoshrink_ray.records import Candidate, Decision, Evaluation
from autoshrink_ray.storage import Folder
from tests.contracts.drivers import by_dispatcher
from tests.contracts.policies import searches, shrink
from tests.contracts.scoring import complete, evaluation, failed, measure_all
from tests.core.test_records import evaluations as any_evaluation


def all_of_a_run(*seeds: int) -> MemoryLedger:
    """Evaluations and decisions of whole searches, in the order in which they came."""
    ledger = MemoryLedger()
    by_dispatcher(searches(shrink, *seeds), measure_all, ledger)
    return ledger


ALL = all_of_a_run(0, 1)


def copy_into(ledger: LedgerWriter, source: MemoryLedger = ALL) -> None:
    """Evaluations first: a decision names those it rests on."""
    for record in source.evaluations:
        ledger.append_evaluation(record)
    for decision in source.decisions:
        ledger.append_decision(decision)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path / "run"))


def objects(folder: Folder) -> list[str]:
    return list(folder.files("ledger", recursive=True))


# One contract for every ledger


@dataclass
class Kept:
    """A ledger, and what a reader finds in it."""

    ledger: LedgerWriter
    evaluations: Callable[[], list[Evaluation]]
    decisions: Callable[[], list[Decision]]


@pytest.fixture(params=["memory", "storage"])
def kept(request: pytest.FixtureRequest, folder: Folder) -> Kept:
    if request.param == "memory":
        memory = MemoryLedger()
        return Kept(memory, lambda: memory.evaluations, lambda: memory.decisions)
    return Kept(
        Ledger(folder, "0001-test"),
        lambda: list(read_ledger(folder).evaluations.values()),
        lambda: list(read_ledger(folder).decisions.values()),
    )


def by_place(evaluations: list[Evaluation]) -> list[Evaluation]:
    return sorted(evaluations, key=lambda one: one.candidate.place)


def test_a_new_ledger_is_empty(kept: Kept) -> None:
    assert kept.evaluations() == []
    assert kept.decisions() == []


def test_everything_is_kept_as_it_was(kept: Kept) -> None:
    copy_into(kept.ledger)
    assert by_place(kept.evaluations()) == by_place(ALL.evaluations)
    assert sorted(kept.decisions(), key=lambda d: (d.search, d.round)) == sorted(
        ALL.decisions, key=lambda d: (d.search, d.round)
    )


def test_every_evaluation_can_be_read_at_once(kept: Kept) -> None:
    for number, record in enumerate(ALL.evaluations[:5], start=1):
        kept.ledger.append_evaluation(record)
        assert by_place(kept.evaluations()) == by_place(ALL.evaluations[:number])


# Objects in storage


@given(record=any_evaluation)
def test_any_evaluation_comes_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, record: Evaluation
) -> None:
    folder = Folder(str(tmp_path_factory.mktemp("run")))
    Ledger(folder, "0001-test").append_evaluation(record)
    (again,) = read_ledger(folder).evaluations.values()
    assert again.model_dump_json() == record.model_dump_json()


def test_records_are_read_in_order(folder: Folder) -> None:
    copy_into(Ledger(folder, "0001-test"))
    contents = read_ledger(folder)
    assert list(contents.evaluations) == sorted(contents.evaluations)
    assert list(contents.decisions) == sorted(contents.decisions)


def test_each_record_is_an_object_named_after_its_place(folder: Folder) -> None:
    ledger = Ledger(folder, "0003-test")
    candidate = Candidate(
        search=2, round=4, index=11, topology=ALL.evaluations[0].candidate.topology
    )
    ledger.append_evaluation(evaluation(candidate, complete(0.5)))
    ledger.append_end(End(status="interrupted", message="stopped"))
    assert objects(folder) == [
        "ledger/0003-test.end.json",
        "ledger/search-002/0003-test/round-004-candidate-0011.json",
    ]


def test_a_decision_names_the_evaluations_it_rests_on(folder: Folder) -> None:
    copy_into(Ledger(folder, "0001-test"))
    for decision in ALL.decisions:
        base = f"ledger/search-{decision.search:03d}/0001-test/round-{decision.round:03d}"
        envelope = json.loads(folder.read(f"{base}-decision.json"))
        size = len(decision.ranking) + len(decision.failed)
        assert envelope["uses"] == [f"{base}-candidate-{index:04d}.json" for index in range(size)]
        assert set(envelope["uses"]) <= set(objects(folder))


def test_a_decision_of_a_later_attempt_names_earlier_objects(folder: Folder) -> None:
    first, *rest = [e for e in ALL.evaluations if e.candidate.place[:2] == (0, 1)]
    Ledger(folder, "0001-old").append_evaluation(first)
    later = Ledger(folder, "0002-new", read_ledger(folder).sources)
    for record in rest:
        later.append_evaluation(record)
    later.append_decision(next(d for d in ALL.decisions if (d.search, d.round) == (0, 1)))
    name = "ledger/search-000/0002-new/round-001-decision.json"
    attempts = {use.split("/")[2] for use in json.loads(folder.read(name))["uses"]}
    assert attempts == {"0001-old", "0002-new"}


def test_storage_that_cannot_be_written_is_a_ledger_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ledger = Ledger(Folder(str(tmp_path / "file" / "run")), "0001-test")
    with pytest.raises(LedgerError, match=r"the run's ledger cannot be written: cannot write"):
        ledger.append_evaluation(ALL.evaluations[0])


def test_what_a_killed_writer_left_is_not_read(folder: Folder) -> None:
    ledger = Ledger(folder, "0001-test")
    ledger.append_evaluation(ALL.evaluations[0])
    folder.write(f"{objects(folder)[0]}.0123456789abcdef.tmp", b'{"schema_ver')
    assert len(read_ledger(folder).evaluations) == 1


# Attempts


def test_attempts_are_numbered_and_unique() -> None:
    assert next_attempt(LedgerContents(), "ab12") == "0001-ab12"
    assert next_attempt(LedgerContents(attempts=("0001-x", "0009-y")), "ab12") == "0010-ab12"


def test_attempts_and_their_ends_are_listed_oldest_first(folder: Folder) -> None:
    one, two = End(status="interrupted", message="stopped"), End(status="finished")
    Ledger(folder, "0001-b").append_end(one)
    Ledger(folder, "0002-a").append_evaluation(ALL.evaluations[0])
    Ledger(folder, "0003-c").append_end(two)
    contents = read_ledger(folder)
    assert contents.attempts == ("0001-b", "0002-a", "0003-c")
    assert contents.ends == {"0001-b": one, "0003-c": two}


def test_of_several_objects_for_one_place_the_earliest_attempts_counts(folder: Folder) -> None:
    record = ALL.evaluations[0]
    other = record.model_copy(update={"measurement": failed("a later attempt")})
    Ledger(folder, "0002-a").append_evaluation(other)
    Ledger(folder, "0001-z").append_evaluation(record)
    contents = read_ledger(folder)
    assert contents.evaluations == {record.candidate.place: record}
    assert contents.sources[record.candidate.place].split("/")[2] == "0001-z"


# Damage


def written(folder: Folder, record: Evaluation = ALL.evaluations[0]) -> str:
    """Name of the only object of a ledger."""
    Ledger(folder, "0001-test").append_evaluation(record)
    (name,) = objects(folder)
    return name


def damage(folder: Folder, name: str) -> str:
    """What is wrong with the only object, which is damaged."""
    contents = read_ledger(folder)
    assert not contents.evaluations
    (found,) = contents.damaged
    assert found.name == name
    return found.reason


@given(data=st.data())
def test_any_byte_that_changed_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = Folder(str(tmp_path_factory.mktemp("run")))
    name = written(folder)
    content = bytearray(folder.read(name))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    folder.write(name, bytes(content))
    assert damage(folder, name)


def test_a_changed_number_does_not_match_its_checksum(folder: Folder) -> None:
    name = written(folder)
    content = folder.read(name)
    assert content.count(b"epochs") == 2
    folder.write(name, content.replace(rb"\"epochs\":2", rb"\"epochs\":3"))
    assert damage(folder, name) == "its checksum does not match"


@pytest.mark.parametrize("length", [0, 1, 100])
def test_a_file_that_was_cut_off(folder: Folder, length: int) -> None:
    name = written(folder)
    folder.write(name, folder.read(name)[:length])
    assert "is not valid JSON" in damage(folder, name)


@pytest.mark.parametrize(
    "content", [b"null", b"[]", b"{}", b'"x"', b"NaN", b"\xff\xfe", b"[" * 9999]
)
def test_a_file_that_is_something_else(folder: Folder, content: bytes) -> None:
    name = written(folder)
    folder.write(name, content)
    assert damage(folder, name)


def edited(folder: Folder, name: str, **changes: Any) -> None:
    folder.write(name, json.dumps(json.loads(folder.read(name)) | changes).encode())


def test_an_object_of_a_newer_release(folder: Folder) -> None:
    name = written(folder)
    edited(folder, name, schema_version=2, something="new")
    with pytest.raises(NewerFormatError, match=r"schema version 2; this release reads up to 1: up"):
        read_ledger(folder)


@pytest.mark.parametrize("changes", [{"body": "{}"}, {"sha256": "0" * 64}, {"kind": "poem"}])
def test_an_object_of_a_newer_release_has_something_else_of_its_own(
    folder: Folder, changes: dict[str, Any]
) -> None:
    name = written(folder)
    edited(folder, name, schema_version=2, **changes)
    with pytest.raises(NewerFormatError, match="upgrade autoshrink_ray"):
        read_ledger(folder)


@pytest.mark.parametrize("version", [3, 5, 9, 17])
def test_a_schema_version_that_a_bit_made_newer_is_damage(folder: Folder, version: int) -> None:
    name = written(folder)
    edited(folder, name, schema_version=version)
    assert damage(folder, name) == "its schema_version was 1 when it was written"


@pytest.mark.parametrize("change", [{"kind": "poem"}, {"kind": "end"}, {"schema_version": 0}])
def test_an_object_that_says_it_is_something_else(folder: Folder, change: dict[str, Any]) -> None:
    name = written(folder)
    edited(folder, name, **change)
    assert damage(folder, name)


def test_a_body_with_a_good_checksum_that_is_no_cell(folder: Folder) -> None:
    topology = ALL.evaluations[0].candidate.topology
    broken = ALL.evaluations[0].model_copy(deep=True)
    object.__setattr__(broken.candidate.topology, "edges", (*topology.edges, (9, 3)))
    name = written(folder, broken)
    assert "an edge (i, j) has 0 <= i < j < 5 nodes" in damage(folder, name)
