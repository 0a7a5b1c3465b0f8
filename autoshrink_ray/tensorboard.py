"""Scalars as TensorBoard event files, on any storage."""

from __future__ import annotations

import io
import os
import secrets
import socket
import time
from collections.abc import Mapping

from pyarrow import fs
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from autoshrink_ray.errors import StorageError
from autoshrink_ray.storage import Folder


class ScalarWriter:
    """One event file, which `tensorboard --logdir` shows while it grows.

    On a local disk it grows in place, because TensorBoard keeps reading the file it has opened.
    Elsewhere the whole file is put again: it holds a few hundred bytes a step.

    Where steps do not rise, what was shown from there on is replaced; that also holds for files
    of earlier writers in the folder. (TensorBoard's own `EventFileWriter` would write in a thread,
    whose errors nobody hears in time.)

    Args:
        folder: Where the file is; TensorBoard's log directory.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        now = time.time()
        # Files are read in the order of their names, which begin with the time.
        unique = f"{int(now):010d}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
        self._name = f"events.out.tfevents.{unique}"
        self._step: int | None = None
        self._content = io.BytesIO()
        self._intact = 0
        self._pending = [Event(wall_time=now, file_version="brain.Event:2")]

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds the scalars of a step; `flush` writes them.

        Args:
            step: Number of the step.
            scalars: Value of each tag.
        """
        now = time.time()
        if self._step is None or step <= self._step:
            start = SessionLog(status=SessionLog.START)
            self._pending.append(Event(wall_time=now, step=step, session_log=start))
        self._step = step
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._pending.append(Event(wall_time=now, step=step, summary=Summary(value=values)))

    def flush(self) -> None:
        """Writes what was added.

        Raises:
            StorageError: If it cannot be written; the next call tries it again.
        """
        added = io.BytesIO()
        writer = RecordWriter(added)
        for event in self._pending:
            writer.write(event.SerializeToString())
        if isinstance(self._folder.filesystem, fs.LocalFileSystem):
            self._append(added.getvalue())
        else:
            self._folder.write(self._name, self._content.getvalue() + added.getvalue())
            self._content.write(added.getvalue())
        self._pending.clear()

    def _append(self, added: bytes) -> None:
        try:
            self._folder.filesystem.create_dir(self._folder.path, recursive=True)
            with open(f"{self._folder.path}/{self._name}", "ab") as file:  # noqa: PTH123
                file.truncate(self._intact)  # without a part that a full disk has left
                file.write(added)
            self._intact += len(added)
        except OSError as error:
            raise StorageError(f"cannot write {self._folder.path}: {error}") from error
