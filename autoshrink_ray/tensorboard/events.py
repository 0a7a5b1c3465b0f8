"""TensorBoard event files, on any storage: scalars, images and text."""

from __future__ import annotations

import io
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping

from pyarrow import fs
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from autoshrink_ray.errors import StorageError
from autoshrink_ray.storage import Folder

PREFIX = "events.out.tfevents."
"""How TensorBoard recognises its files."""

_RGBA = 4
"""Channels that images are said to have; TensorBoard reads the picture's own."""


def event_name(seconds: float, unique: str) -> str:
    """Name of an event file; TensorBoard reads a folder's files in the order of their names.

    Args:
        seconds: Unix time of the file.
        unique: What tells it apart from others of that second.
    """
    return f"{PREFIX}{int(seconds):010d}.{unique}"


def version(seconds: float) -> Event:
    """What each file begins with."""
    return Event(wall_time=seconds, file_version="brain.Event:2")


def restart(step: int, seconds: float) -> Event:
    """Takes back what was shown from `step` on, also by files with earlier names."""
    start = SessionLog(status=SessionLog.START)
    return Event(wall_time=seconds, step=step, session_log=start)


def scalars(step: int, values: Mapping[str, float], seconds: float) -> Event:
    """Values of a step.

    Args:
        step: Number of the step.
        values: Value of each tag.
        seconds: Unix time at which they came.
    """
    shown = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    return Event(wall_time=seconds, step=step, summary=Summary(value=shown))


def image(step: int, tag: str, png: bytes, size: tuple[int, int], seconds: float) -> Event:
    """A picture of a step.

    Args:
        step: Number of the step.
        tag: What it shows.
        png: The picture as a PNG file.
        size: Its width and height in pixels.
        seconds: Unix time at which it was drawn.
    """
    width, height = size
    picture = Summary.Image(width=width, height=height, colorspace=_RGBA, encoded_image_string=png)
    return summary(step, [Summary.Value(tag=tag, image=picture)], seconds)


def text(step: int, tag: str, markdown: str, seconds: float) -> Event:
    """A text of a step, in Markdown."""
    return summary(step, [string_value(tag, "text", markdown.encode())], seconds)


def string_value(tag: str, plugin: str, content: bytes) -> Summary.Value:
    """A string for one of TensorBoard's plugins."""
    return Summary.Value(
        tag=tag,
        metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin)),
        tensor=TensorProto(dtype=DT_STRING, tensor_shape=TensorShapeProto(), string_val=[content]),
    )


def summary(step: int, values: Iterable[Summary.Value], seconds: float) -> Event:
    """Any values of a step."""
    return Event(wall_time=seconds, step=step, summary=Summary(value=list(values)))


def encoded(events: Iterable[Event]) -> bytes:
    """The events as a part of a file."""
    content = io.BytesIO()
    writer = RecordWriter(content)
    for event in events:
        writer.write(event.SerializeToString())
    return content.getvalue()


class EventFile:
    """One event file, which `tensorboard --logdir` shows while it grows.

    On a local disk it grows in place, because TensorBoard keeps reading the file it has opened.
    Elsewhere the whole file is put again. (TensorBoard's own `EventFileWriter` would write in a
    thread, whose errors nobody hears in time.)

    Attributes:
        name: The file's name in its folder.

    Args:
        folder: Where the file is; a stream of TensorBoard's log directory.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        now = time.time()
        self.name = event_name(now, f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}")
        self._content = io.BytesIO()
        self._intact = 0  # bytes that are there
        self._pending = [version(now)]

    @property
    def grows_in_place(self) -> bool:
        """Whether a flush costs as much as what was added, and not as the whole file."""
        return isinstance(self._folder.filesystem, fs.LocalFileSystem)

    @property
    def is_behind(self) -> bool:
        """Whether there is anything to flush."""
        return bool(self._pending)

    @property
    def is_gone(self) -> bool:
        """Whether it was written and is not there any more."""
        return self._intact > 0 and not self._folder.exists(self.name)

    def append(self, *events: Event) -> None:
        """Adds events; `flush` writes them."""
        self._pending += events

    def flush(self) -> None:
        """Writes what was added.

        Raises:
            StorageError: If it cannot be written; the next call tries it again. Or if somebody has
                deleted the file: another driver that has taken over, or a user.
        """
        if self.is_gone:
            raise StorageError(f"{self._folder.location}/{self.name} was deleted by somebody else")
        added = encoded(self._pending)
        if self.grows_in_place:
            self._append(added)
        else:
            self._folder.write(self.name, self._content.getvalue() + added)
            self._content.write(added)
        self._intact += len(added)
        self._pending.clear()

    def _append(self, added: bytes) -> None:
        try:
            self._folder.filesystem.create_dir(self._folder.path, recursive=True)
            with open(f"{self._folder.path}/{self.name}", "ab") as file:  # noqa: PTH123
                file.truncate(self._intact)  # without a part that a full disk has left
                file.write(added)
        except OSError as error:
            raise StorageError(f"cannot write {self._folder.path}: {error}") from error


class ScalarWriter(EventFile):
    """An event file of scalars by step.

    Where steps do not rise, what was shown from there on is replaced; that also holds for files
    of earlier writers in the folder.

    Args:
        folder: Where the file is; TensorBoard's log directory.
    """

    def __init__(self, folder: Folder) -> None:
        super().__init__(folder)
        self._step: int | None = None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Adds the scalars of a step; `flush` writes them.

        Args:
            step: Number of the step.
            values: Value of each tag.
        """
        now = time.time()
        if self._step is None or step <= self._step:
            self.append(restart(step, now))
        self._step = step
        self.append(scalars(step, values, now))
