"""The only truth of a run: every finished evaluation and every decision, in immutable objects.

Each driver attempt writes below its own prefix, under names that follow from the search, the
round and the candidate. Nothing is appended to, overwritten or locked, so an object store is as
good as a disk. Of several objects for one place the one of the earliest attempt counts.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from pydantic import Field

from autoshrink_ray import files
from autoshrink_ray.errors import FileFormatError, LedgerError, StorageError
from autoshrink_ray.files import digest
from autoshrink_ray.records import Decision, Evaluation, Record
from autoshrink_ray.storage import Folder

SCHEMA_VERSION = 1

_READERS = 16
"""Objects that are read at once: an object store answers slowly but many at a time."""

Kind = Literal["evaluation", "decision", "end"]
Place = tuple[int, int, int]


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
    """What a ledger holds.

    Attributes:
        evaluations: By (search, round, index), in that order.
        decisions: By (search, round), in that order.
        ends: How the attempts that ended did so, by attempt.
        attempts: Attempts that left something, oldest first.
        sources: Object that each evaluation comes from.
    """

    evaluations: dict[Place, Evaluation] = field(default_factory=dict)
    decisions: dict[tuple[int, int], Decision] = field(default_factory=dict)
    ends: dict[str, End] = field(default_factory=dict)
    attempts: tuple[str, ...] = ()
    sources: dict[Place, str] = field(default_factory=dict)


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
        search, round_number, index = evaluation.candidate.place
        folder = files.attempt_folder(search, self._attempt)
        name = f"{folder}/{files.evaluation_name(round_number, index)}"
        self._put(name, "evaluation", evaluation)
        self._sources[evaluation.candidate.place] = name

    def append_decision(self, decision: Decision) -> None:
        """Writes a decision with the names of the evaluations it rests on.

        Raises:
            LedgerError: If it cannot be written.
        """
        indices = [*(line.index for line in decision.ranking), *decision.failed]
        uses = [self._sources[decision.search, decision.round, index] for index in sorted(indices)]
        folder = files.attempt_folder(decision.search, self._attempt)
        name = f"{folder}/{files.decision_name(decision.round)}"
        self._put(name, "decision", decision, tuple(uses))

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
        FileFormatError: If an object is damaged or from a newer version.
    """
    names = [name for name in folder.files(files.LEDGER, recursive=True) if name.endswith(".json")]
    names.sort(key=lambda name: (_attempt_of(name), name))
    with ThreadPoolExecutor(_READERS) as pool:
        records = list(pool.map(lambda name: _read_record(folder, name), names))
    contents = LedgerContents(attempts=tuple(sorted({_attempt_of(name) for name in names})))
    for name, record in zip(names, records, strict=True):
        if isinstance(record, Evaluation):
            contents.evaluations.setdefault(record.candidate.place, record)
            contents.sources.setdefault(record.candidate.place, name)
        elif isinstance(record, Decision):
            contents.decisions.setdefault((record.search, record.round), record)
        elif isinstance(record, End):
            contents.ends[_attempt_of(name)] = record
    return replace(
        contents,
        evaluations=dict(sorted(contents.evaluations.items())),
        decisions=dict(sorted(contents.decisions.items())),
    )


def _attempt_of(name: str) -> str:
    parts = name.split("/")
    return parts[-2] if len(parts) > 2 else parts[-1].removesuffix(".end.json")


def _read_record(folder: Folder, name: str) -> Record:
    envelope = files.parse_file(
        _Envelope, folder.read(name), f"ledger object {name}", SCHEMA_VERSION
    )
    if _checksum(envelope.body, envelope.uses) != envelope.sha256:
        raise FileFormatError(f"ledger object {name} is damaged: its checksum does not match")
    return files.parse_file(
        _MODELS[envelope.kind], envelope.body.encode(), f"ledger object {name}", SCHEMA_VERSION
    )


def _checksum(body: str, uses: tuple[str, ...]) -> str:
    return digest("\n".join([body, *uses]).encode())


def next_attempt(contents: LedgerContents, token: str) -> str:
    """Name for a new attempt: after all others, and unique through `token`."""
    numbers = [int(name.partition("-")[0]) for name in contents.attempts]
    return f"{max(numbers, default=0) + 1:04d}-{token}"
