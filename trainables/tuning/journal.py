"""Optuna's journal: a file to which a line is appended for everything that happens."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.exceptions import OptunaError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from autoshrink_ray.errors import FileFormatError, StorageError

_BEGINNING = b'{"op_code":'
"""How every journal begins."""


def open_journal(path: Path) -> JournalStorage:
    """Opens a journal; a new one is created.

    Args:
        path: Where it is.

    Raises:
        StorageError: If it cannot be read or written.
        FileFormatError: If a file that is no journal is in its place.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_torn_end(path)
        return JournalStorage(_WholeLines(path))
    except (OSError, OptunaError) as error:
        raise StorageError(f"the study storage {path} cannot be used: {error}") from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise FileFormatError(f"{path} is no readable Optuna journal: {error}") from error


class _WholeLines(JournalFileBackend):
    """A journal file in which what cannot be written whole leaves nothing behind.

    Optuna would append to a line that a full disk has torn, and nobody could read the journal
    any more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._only_writer = JournalFileSymlinkLock(str(path))
        super().__init__(str(path), self._only_writer)

    def append_logs(self, logs: Sequence[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._only_writer.acquire()
        try:
            _append(self._path, lines.encode())
        finally:
            self._only_writer.release()


def _append(path: Path, content: bytes) -> None:
    """Appends all of `content`, or nothing.

    Raises:
        OSError: If it was nothing.
    """
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


def _forget_torn_end(path: Path) -> None:
    """Cuts off a last line that a dying process left unfinished, to which Optuna would append."""
    if not path.exists() or not path.stat().st_size:
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        content = path.read_bytes()
        if not content.startswith(_BEGINNING[: len(content)]):
            raise FileFormatError(f"{path} is no Optuna journal: give another --study-storage")
        if not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()
