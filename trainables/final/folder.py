"""The folder of a training: its files, and reading them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from autoshrink_ray import files
from autoshrink_ray.errors import FileFormatError, StorageError
from autoshrink_ray.ledger import End
from autoshrink_ray.runfile import DescribingFile
from autoshrink_ray.storage import Folder, join
from autoshrink_ray.table import to_parquet
from search_spaces.network import NetworkFile
from trainables.final.checkpoints import Checkpoints, EpochRecord
from trainables.final.weights import WeightsCard, read_weights

NETWORK = "network.json"
CHECKPOINTS = "checkpoints"
WEIGHTS = "weights.safetensors"
HISTORY = "history.parquet"

_COUNTS = ("epoch", "attempt")
"""Columns of the history that are whole numbers."""


class TrainFile(DescribingFile):
    """A training's `train.yaml`.

    Attributes:
        config: The resolved configuration that it was started with.
        quality: Metric that tells which epoch is better.
        end: How the last start ended; None while it goes on, or if it was killed.
    """

    FILE = files.TRAIN

    config: dict[str, Any]
    quality: str
    end: End | None = None


class TrainingRun:
    """One training in storage, read afresh by each object; nothing is ever changed.

    Args:
        location: Path or URI of the training's folder, or a training's name.
        storage: Where a name is looked up.

    Raises:
        StorageError: If there is no training.
        FileFormatError: If one of its files is damaged.
    """

    def __init__(self, location: str, storage: str = "runs") -> None:
        found = TrainFile.find(location, storage)
        if found is None:
            raise StorageError(
                f"no training at {Folder(location).location}: give <storage>/<name> or the name "
                f"of a training in {storage!r}"
            )
        self.folder = found

    @cached_property
    def file(self) -> TrainFile:
        """What the training is."""
        return TrainFile.read(self.folder)

    @property
    def name(self) -> str:
        """The training's name."""
        return self.file.name

    @property
    def status(self) -> str:
        """`finished`, `failed`, `interrupted`, or `open`: still going, or it was killed."""
        return self.file.end.status if self.file.end else "open"

    @property
    def message(self) -> str:
        """Why it ended before it was finished; empty otherwise."""
        return self.file.end.message if self.file.end else ""

    @cached_property
    def network(self) -> NetworkFile:
        """The network that is trained."""
        content = self.folder.read(NETWORK)
        return NetworkFile.from_json(content, f"{self.folder.location}/{NETWORK}")

    @property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints."""
        return Checkpoints(self.folder.child(CHECKPOINTS), self.file.quality)

    @cached_property
    def history(self) -> list[EpochRecord]:
        """Record of each epoch, oldest first: `epoch`, `attempt`, `seconds` and its metrics."""
        if not self.folder.exists(HISTORY):
            return self.checkpoints.history()
        return read_history(self.folder.read(HISTORY), f"{self.folder.location}/{HISTORY}")

    @property
    def weights(self) -> bytes:
        """Content of the weights file.

        Raises:
            StorageError: If the training is not finished.
        """
        if not self.folder.exists(WEIGHTS):
            raise StorageError(
                f"the training {self.name!r} is {self.status} and has no weights yet: "
                f"start it again under its name"
            )
        return self.folder.read(WEIGHTS)

    @cached_property
    def card(self) -> WeightsCard:
        """What the weights are of; raises what `weights` raises."""
        return read_weights(self.weights, self.folder.child(WEIGHTS).location)[1]

    def to_dict(self) -> dict[str, Any]:
        """The training as plain data."""
        return {
            "name": self.name,
            "status": self.status,
            "epochs": len(self.history),
            "history": self.history,
            "weights": self.folder.child(WEIGHTS).location,
        }


def write_history(folder: Folder, history: list[EpochRecord]) -> None:
    """Writes the table that other programs read: one row for each epoch."""
    names = dict.fromkeys(name for record in history for name in record)
    columns = {
        name: pa.array(
            [record.get(name) for record in history],
            pa.int32() if name in _COUNTS else pa.float64(),
        )
        for name in names
    }
    folder.write(HISTORY, to_parquet(pa.table(columns)))


def read_history(content: bytes, name: str) -> list[EpochRecord]:
    """Reads what `write_history` wrote.

    Args:
        content: What is in the file.
        name: What error messages call it.

    Raises:
        FileFormatError: If it is damaged.
    """
    try:
        table = parquet.read_table(pa.BufferReader(content))
        table.validate(full=True)
        problem = _problem_of_history(table)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{name} is damaged: {error}") from error
    if problem:
        raise FileFormatError(f"{name} is damaged: {problem}")
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in table.to_pylist()
    ]


def _problem_of_history(table: pa.Table) -> str:
    names = table.column_names
    if len(set(names)) != len(names) or not set(_COUNTS) <= set(names):
        return f"it has columns {', '.join(_COUNTS)} and others, each once; got {', '.join(names)}"
    for field in table.schema:
        kind = pa.int32() if field.name in _COUNTS else pa.float64()
        if field.type != kind:
            return f"column {field.name} is {kind}, got {field.type}"
    if any(table.column(name).null_count for name in _COUNTS):
        return "an epoch has no number"
    return ""


def list_trainings(storage: str) -> list[TrainingRun]:
    """All trainings in a storage location, by name."""
    places = [join(storage, name) for name in Folder(storage).folders()]
    return [TrainingRun(place) for place in places if TrainFile.exists(Folder(place))]
