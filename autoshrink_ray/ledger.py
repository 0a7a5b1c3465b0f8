"""The only truth of a run: every finished evaluation and every decision, in immutable objects.

Each driver attempt writes below its own prefix, under names that follow from the search, the
round and the candidate. Nothing is appended to, overwritten or locked, so an object store is as
good as a disk. Which of several objects for one place counts is the rule of `counting`.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import Field

from autoshrink_ray import files
from autoshrink_ray.counting import (
    Damage,
    Kept,
    Kind,
    Place,
    Round,
    counting_decisions,
    counting_evaluations,
    measured_again,
    places_of,
)
from autoshrink_ray.errors import FileFormatError, LedgerError, NewerFormatError, StorageError
from autoshrink_ray.files import digest
from autoshrink_ray.records import Decision, Evaluation, Record
from autoshrink_ray.storage import Folder

SCHEMA_VERSION = 1
"""A later version needs another checksum rule: else its objects look like damaged ones of this."""

_READERS = 16
"""Objects that are read at once: an object store answers slowly but many at a time."""

_ATTEMPT = re.compile(r"\d+-.+")
"""What an attempt's name looks like; whatever else is there was not written by one."""


class End(Record):
    """How a driver attempt ended.

    Attributes:
        status: `finished`, `failed` or `interrupted`.
        message: What a user should know of it.
    """

    status: Literal["finished", "failed", "interrupted"]
    message: str = ""


class _Envelope(Record):
    """What every object looks like: its body, and a checksum over body and uses."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    kind: Kind
    sha256: str
    uses: tuple[str, ...] = Field(default=(), description="objects that a decision rests on")
    body: str


_MODELS: dict[Kind, type[Record]] = {
    "evaluation": Evaluation,
    "decision": Decision,
    "end": End,
}


@dataclass(frozen=True)
class LedgerContents:
    """What counts of all that a ledger holds.

    Attributes:
        evaluations: By (search, round, index), in that order.
        decisions: By (search, round), in that order.
        ends: How the attempts that ended did so, by attempt.
        attempts: Attempts that left something, oldest first.
        sources: Object that each evaluation comes from.
        damaged: Objects that cannot be read as they were written.
        remade: Places whose evaluation was made when the one that the round's decision rests on
            was lost. The decision stands, whatever they say.
    """

    evaluations: dict[Place, Evaluation] = field(default_factory=dict)
    decisions: dict[Round, Decision] = field(default_factory=dict)
    ends: dict[str, End] = field(default_factory=dict)
    attempts: tuple[str, ...] = ()
    sources: dict[Place, str] = field(default_factory=dict)
    damaged: tuple[Damage, ...] = ()
    remade: frozenset[Place] = frozenset()

    @property
    def lost(self) -> list[Place]:
        """Places without an evaluation on which a decision rests: they are evaluated again."""
        needed = (place for decision in self.decisions.values() for place in places_of(decision))
        return [place for place in needed if place not in self.evaluations]

    def consequence(self, damage: Damage) -> str:
        """What follows from an object's damage, as the end of a sentence."""
        if damage.place is not None and damage.place not in self.evaluations:
            return "what it held is evaluated again"
        if damage.kind is None:
            return "nothing of the run was in it"
        return {
            "evaluation": "another attempt's evaluation of that candidate counts",
            "decision": "another attempt's decision of that round counts",
            "end": "nothing but how that attempt ended was in it",
        }[damage.kind]


class LedgerWriter(Protocol):
    """Where evaluations and decisions go before anybody acts on them."""

    def append_evaluation(self, evaluation: Evaluation) -> None:
        """Keeps an evaluation."""
        ...

    def append_decision(self, decision: Decision) -> None:
        """Keeps a decision."""
        ...


class MemoryLedger:
    """A ledger that lasts as long as its process: for searches inside a trial.

    Attributes:
        evaluations: In the order of their arrival.
        decisions: In the order of their arrival.
    """

    def __init__(self) -> None:
        self.evaluations: list[Evaluation] = []
        self.decisions: list[Decision] = []

    def append_evaluation(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)

    def append_decision(self, decision: Decision) -> None:
        self.decisions.append(decision)


class Ledger:
    """Writes one driver attempt's part of a run's record.

    Args:
        folder: The run's folder.
        attempt: Name of the attempt; names sort by age.
        sources: Objects of the evaluations that earlier attempts left.
    """

    def __init__(self, folder: Folder, attempt: str, sources: dict[Place, str] | None = None):
        self._folder = folder
        self._attempt = attempt
        self._sources = dict(sources or {})

    def append_evaluation(self, evaluation: Evaluation) -> None:
        """Writes an evaluation; when this returns it will not be lost.

        Raises:
            LedgerError: If it cannot be written.
        """
        name = _name_of(evaluation, self._attempt)
        self._put(name, "evaluation", evaluation)
        self._sources[evaluation.candidate.place] = name

    def append_decision(self, decision: Decision) -> None:
        """Writes a decision with the names of the evaluations it rests on.

        Raises:
            LedgerError: If it cannot be written.
        """
        uses = tuple(self._sources[place] for place in places_of(decision))
        self._put(_name_of(decision, self._attempt), "decision", decision, uses)

    def append_end(self, end: End) -> None:
        """Writes how this attempt ended.

        Raises:
            LedgerError: If it cannot be written.
        """
        self._put(files.end_name(self._attempt), "end", end)

    def _put(self, name: str, kind: Kind, record: Record, uses: tuple[str, ...] = ()) -> None:
        body = record.model_dump_json()
        envelope = _Envelope(kind=kind, sha256=_checksum(body, uses), uses=uses, body=body)
        try:
            self._folder.write(name, envelope.model_dump_json().encode())
        except StorageError as error:
            raise LedgerError(f"the run's ledger cannot be written: {error}") from error


def read_ledger(folder: Folder) -> LedgerContents:
    """Reads everything that all attempts of a run left.

    Raises:
        StorageError: If the storage cannot be read.
        NewerFormatError: If a newer version wrote an object.
    """
    records, damaged = read_objects(folder)
    decisions = counting_decisions(records)
    evaluations = counting_evaluations(records, decisions)
    names = [kept.name for kept in records] + [damage.name for damage in damaged]
    attempts = {_attempt_of(name) for name in names}
    return LedgerContents(
        evaluations={place: e.record for place, e in evaluations.items()},  # type: ignore[misc]
        decisions={place: d.record for place, d in decisions.items()},  # type: ignore[misc]
        ends={_attempt_of(k.name): k.record for k in records if isinstance(k.record, End)},
        attempts=tuple(sorted(filter(_ATTEMPT.fullmatch, attempts))),
        sources={place: kept.name for place, kept in evaluations.items()},
        damaged=tuple(damaged),
        remade=frozenset(measured_again(decisions, evaluations)),
    )


def read_objects(folder: Folder) -> tuple[list[Kept], list[Damage]]:
    """Every object of a ledger, by attempt and name: the intact ones, and the others.

    Raises:
        StorageError: If the storage cannot be read.
        NewerFormatError: If a newer version wrote an object.
    """
    names = [name for name in folder.files(files.LEDGER, recursive=True) if name.endswith(".json")]
    names.sort(key=lambda name: (_attempt_of(name), name))
    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(lambda name: _read_object(folder, name), names))
    intact = [entry for entry in found if isinstance(entry, Kept)]
    return intact, [entry for entry in found if isinstance(entry, Damage)]


def _attempt_of(name: str) -> str:
    parts = name.split("/")
    return parts[-2] if len(parts) > 2 else parts[-1].removesuffix(".end.json")


def _read_object(folder: Folder, name: str) -> Kept | Damage:
    content = folder.read(name)
    try:
        return _checked(name, content)
    except NewerFormatError:
        ours = json.dumps(json.loads(content) | {"schema_version": SCHEMA_VERSION}).encode()
        if isinstance(_checked(name, ours), Kept):
            return Damage(name, f"its schema_version was {SCHEMA_VERSION} when it was written")
        raise


def _checked(name: str, content: bytes) -> Kept | Damage:
    place = f"ledger object {name}"
    try:
        envelope = files.parse_file(_Envelope, content, place, SCHEMA_VERSION)
        if _checksum(envelope.body, envelope.uses) != envelope.sha256:
            return Damage(name, "its checksum does not match")
        model = _MODELS[envelope.kind]
        record = files.parse_file(model, envelope.body.encode(), place, SCHEMA_VERSION)
    except NewerFormatError:
        raise
    except FileFormatError as error:
        return Damage(name, str(error).removeprefix(place).strip())
    if _name_of(record, _attempt_of(name)) != name:
        return Damage(name, "it belongs under another name")
    return Kept(name, record, envelope.uses)


def _name_of(record: Record, attempt: str) -> str:
    """Object that holds `record` in the ledger of an attempt."""
    if isinstance(record, Evaluation):
        search, number, index = record.candidate.place
        return f"{files.attempt_folder(search, attempt)}/{files.evaluation_name(number, index)}"
    if isinstance(record, Decision):
        folder = files.attempt_folder(record.search, attempt)
        return f"{folder}/{files.decision_name(record.round)}"
    return files.end_name(attempt)


def set_aside(folder: Folder, contents: LedgerContents) -> None:
    """Moves damaged objects out of a run's ledger, into `damaged/`.

    Raises:
        FileFormatError: If the decision of a round is damaged and no other attempt has it.
        StorageError: If an object cannot be moved.
    """
    for damage in contents.damaged:
        place = files.decision_place(damage.name)
        if place is not None and place not in contents.decisions:
            raise FileFormatError(
                f"ledger object {damage.name} holds the decision of search {place[0]}, round "
                f"{place[1]}, and is damaged: {damage.reason}; delete it, and the run decides that "
                f"round again from its evaluations"
            )
    for damage in contents.damaged:
        folder.move(damage.name, files.set_aside_name(damage.name))


def _checksum(body: str, uses: tuple[str, ...]) -> str:
    return digest("\n".join([body, *uses]).encode())


def next_attempt(contents: LedgerContents, token: str) -> str:
    """Name for a new attempt: after all others, and unique through `token`."""
    numbers = [int(name.partition("-")[0]) for name in contents.attempts]
    return f"{max(numbers, default=0) + 1:04d}-{token}"
