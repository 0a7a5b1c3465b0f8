"""Measurements that runs share: what was trained once is not trained again.

What is kept are measurements, not scores, so a run with another cost weight finds them too. An
entry is found only by a run that would compute the very same thing: same cell, settings, data and
seed, on the same kind of device with the same library build.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from autoshrink_ray import files
from autoshrink_ray.errors import FileFormatError, StorageError
from autoshrink_ray.files import digest
from autoshrink_ray.records import Measurement, Record
from autoshrink_ray.storage import Folder

_SCHEMA_VERSION = 1

RELEVANT = ("release", "task", "space", "macro", "proxy", "data_fingerprint", "threads", "gpu")
"""What decides a measurement, beside cell, seed and machine; `release` is this package's."""

Machine = tuple[str, str]
"""Device model and library build."""


class _Entry(Record):
    """One file of the cache."""

    schema_version: int = _SCHEMA_VERSION
    sha256: str
    body: str


class EvaluationCache:
    """A folder of measurements. Any number of runs may read and write it at once.

    Every entry is one file with a name that follows from what it is of and from the version of
    its format, written atomically. A damaged entry counts as none, and is replaced when the
    measurement is made again.

    Args:
        folder: Where the entries are.
        identity: The run's identity, with `release` and `task`; what is relevant of it becomes
            part of every name.
        machines: Kinds of machines whose measurements count; those of `put` count as well.
        on_failure: Told once when the cache cannot be read or written; it is left alone then,
            because a run can do without it.
    """

    def __init__(
        self,
        folder: Folder,
        identity: Mapping[str, Any],
        machines: Iterable[Machine] = (),
        on_failure: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._folder = folder
        self._common = {name: identity[name] for name in RELEVANT}
        self._machines = set(machines)
        self._on_failure = on_failure
        self._usable = True

    def get(self, key: str, seed: int) -> Measurement | None:
        """The measurement of the cell with canonical key `key` from `seed`, or None."""
        with self._forgiven():
            return self._get(key, seed)
        return None

    def _get(self, key: str, seed: int) -> Measurement | None:
        for machine in sorted(self._machines) if self._usable else ():
            name = self._name(key, seed, machine)
            if self._folder.exists(name):
                measurement = self._read(name)
                if measurement is not None:
                    return measurement
        return None

    def put(self, key: str, seed: int, measurement: Measurement) -> None:
        """Keeps what training gave, a failure of the candidate's own as well.

        Running out of memory is not kept: the machine, and who else is on it, take part in that.
        """
        if measurement.status != "out_of_memory" and self._usable:
            with self._forgiven():
                self._put(key, seed, measurement)

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            self._usable = False
            self._on_failure(f"the cache is not used any more: {error}")

    def _put(self, key: str, seed: int, measurement: Measurement) -> None:
        machine = (measurement.device, measurement.build)
        self._machines.add(machine)
        name = self._name(key, seed, machine)
        if not self._folder.exists(name) or self._read(name) is None:
            body = measurement.model_dump_json()
            entry = _Entry(sha256=_checksum(name, body), body=body)
            self._folder.write(name, entry.model_dump_json().encode())

    def _read(self, name: str) -> Measurement | None:
        try:
            entry = files.parse_file(_Entry, self._folder.read(name), name, _SCHEMA_VERSION)
            if _checksum(name, entry.body) != entry.sha256:
                return None
            return files.parse_file(Measurement, entry.body.encode(), name, _SCHEMA_VERSION)
        except FileFormatError:
            return None

    def _name(self, key: str, seed: int, machine: Machine) -> str:
        asked = {"format": _SCHEMA_VERSION, "key": key, "seed": seed, "machine": machine}
        sha256 = digest(json.dumps(self._common | asked, sort_keys=True).encode())
        return f"{sha256[:2]}/{sha256}.json"


def _checksum(name: str, body: str) -> str:
    return digest(f"{name}\n{body}".encode())
