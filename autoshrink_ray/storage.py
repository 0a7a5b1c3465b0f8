"""Files on any filesystem that pyarrow knows: local disks, S3, GCS."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from autoshrink_ray.errors import StorageError

_FAILURES = (OSError, pa.ArrowException)
"""What a filesystem raises; Arrow's own exceptions are for paths that it does not take at all."""

PATIENCE = 60.0
"""Seconds for which a place that does not answer is asked again."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0
"""Seconds between two tries; the pause doubles."""

_PASSING = frozenset(
    getattr(errno, name)
    for name in (
        *("EAGAIN", "EBUSY", "EINTR", "EIO", "ESTALE", "ETIMEDOUT", "ENETDOWN", "ENETUNREACH"),
        *("EHOSTDOWN", "EHOSTUNREACH", "ECONNABORTED", "ECONNREFUSED", "ECONNRESET", "ENOTCONN"),
    )
)
"""Error numbers of a disk or network that may come back by itself."""

_REFUSALS = (
    *("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY", "SIGNATURE", "status 40"),  # S3
    *("PERMISSION_DENIED", "UNAUTHENTICATED", "INVALID_ARGUMENT", "NOT_FOUND"),  # GCS
)
"""What an object store says when asking again cannot help."""

_OBJECT_STORES = {"s3", "gcs", "abfs"}
"""Filesystems whose objects appear whole when their stream is closed; they know no rename."""


_TEMPORARY = ".tmp"
"""How the names of unfinished files end."""


def is_temporary(name: str) -> bool:
    """Whether a file is what a process left that was killed while it wrote."""
    return name.endswith(_TEMPORARY)


def resolve(location: str) -> tuple[fs.FileSystem, str]:
    """Filesystem and path of a local path or a URI.

    Raises:
        StorageError: If the URI's scheme is unknown or the URI is malformed, or `~` has no home.
    """
    try:
        if "://" not in location:
            return fs.LocalFileSystem(), str(Path(location).expanduser().absolute())
        filesystem, path = fs.FileSystem.from_uri(location)
    except (*_FAILURES, ValueError, RuntimeError) as error:
        raise StorageError(
            f"a storage location is a local path or a URI such as s3://bucket/folder, "
            f"gs://bucket/folder or file:///folder; got {location!r}: {error}"
        ) from error
    return filesystem, path


def join(location: str, *parts: str) -> str:
    """`location` with `parts` below it; works for paths and for URIs (queries are kept)."""
    is_uri = "://" in location
    base, mark, query = location.partition("?") if is_uri else (location, "", "")
    return "/".join([base.rstrip("/"), *parts]) + mark + query


Result = TypeVar("Result")


def _patiently(filesystem: fs.FileSystem, action: Callable[[], Result]) -> Result:
    """Does `action`, again and again while it fails for a reason that may pass."""
    deadline, pause = time.monotonic() + PATIENCE, _FIRST_PAUSE
    while True:
        try:
            return action()
        except _FAILURES as error:
            if not _may_pass(filesystem, error) or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _may_pass(filesystem: fs.FileSystem, error: Exception) -> bool:
    if not isinstance(error, OSError) or isinstance(error, FileNotFoundError | PermissionError):
        return False
    if error.errno is not None:
        return error.errno in _PASSING
    is_remote = not isinstance(filesystem, fs.LocalFileSystem)
    return is_remote and not any(words in str(error) for words in _REFUSALS)


class Folder:
    """One folder of a filesystem: reads, and writes whole files atomically.

    A file is there completely or not at all, whenever a process dies. On an object store that
    is how objects work; elsewhere a file is written beside its name, flushed to the device and
    renamed. A place that does not answer is asked again for `PATIENCE` seconds.

    Args:
        location: Local path or URI. The folder need not exist.
    """

    def __init__(self, location: str) -> None:
        self.filesystem, self.path = resolve(location)
        self.location = location if "://" in location else self.path

    def __repr__(self) -> str:
        return f"Folder({self.location!r})"

    def _full(self, name: str) -> str:
        return f"{self.path}/{name}" if name else self.path

    def exists(self, name: str = "") -> bool:
        """Whether there is a file or folder called `name`."""
        return bool(self._info(name).type != fs.FileType.NotFound)

    def _info(self, name: str) -> fs.FileInfo:
        try:
            return self._patiently(lambda: self.filesystem.get_file_info(self._full(name)))
        except _FAILURES as error:
            raise StorageError(f"cannot read {self._full(name)}: {error}") from error

    def read(self, name: str) -> bytes:
        """Content of the file `name`.

        Raises:
            StorageError: If it cannot be read.
        """
        try:
            return self._patiently(lambda: self._get(self._full(name)))
        except _FAILURES as error:
            raise StorageError(f"cannot read {self._full(name)}: {error}") from error

    def _patiently(self, action: Callable[[], Result]) -> Result:
        return _patiently(self.filesystem, action)

    def _get(self, path: str) -> bytes:
        with self.filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    def write(self, name: str, content: bytes) -> None:
        """Writes the file `name` atomically, over an older one if there is one.

        Raises:
            StorageError: If it cannot be written; the older one is then still there.
        """
        target = self._full(name)
        try:
            self._patiently(lambda: self._write_once(target, content))
        except _FAILURES as error:
            raise StorageError(f"cannot write {target}: {error}") from error

    def _write_once(self, target: str, content: bytes) -> None:
        if self.filesystem.type_name in _OBJECT_STORES:
            self._put(target, content)
        else:
            self._write_and_rename(target, content)

    def _write_and_rename(self, target: str, content: bytes) -> None:
        temporary = f"{target}.{uuid.uuid4().hex}{_TEMPORARY}"
        self.filesystem.create_dir(target.rpartition("/")[0], recursive=True)
        try:
            self._put(temporary, content)
            if isinstance(self.filesystem, fs.LocalFileSystem):
                _flush_to_device(temporary)
            self.filesystem.move(temporary, target)
            if isinstance(self.filesystem, fs.LocalFileSystem):
                _flush_to_device(target.rpartition("/")[0])  # the new name, too
        except _FAILURES:
            if self.filesystem.get_file_info(temporary).type != fs.FileType.NotFound:
                self.filesystem.delete_file(temporary)
            raise

    def _put(self, path: str, content: bytes) -> None:
        with self.filesystem.open_output_stream(path) as stream:
            stream.write(content)

    def files(self, name: str = "", *, recursive: bool = False) -> Iterator[str]:
        """Names of the files below the folder `name`, sorted; empty where there is none."""
        yield from (i.removeprefix(self.path + "/") for i in self._entries(name, recursive, False))

    def folders(self, name: str = "") -> list[str]:
        """Names of the folders directly in the folder `name`, sorted."""
        return [i.rpartition("/")[2] for i in self._entries(name, False, True)]

    def sizes(self) -> dict[str, int]:
        """Bytes of each file in this folder and below, by name."""
        infos = self._infos("", recursive=True)
        files = (info for info in infos if info.type == fs.FileType.File)
        return {info.path.removeprefix(self.path + "/"): info.size for info in files}

    def _entries(self, name: str, recursive: bool, folders: bool) -> list[str]:
        wanted = fs.FileType.Directory if folders else fs.FileType.File
        return sorted(i.path for i in self._infos(name, recursive) if i.type == wanted)

    def _infos(self, name: str, recursive: bool) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self._full(name), recursive=recursive, allow_not_found=True)
        try:
            return list(self._patiently(lambda: self.filesystem.get_file_info(selector)))
        except _FAILURES as error:
            raise StorageError(f"cannot list {self._full(name)}: {error}") from error

    def move(self, name: str, new_name: str) -> None:
        """Gives the file `name` another name in this folder, on an object store by a copy.

        Raises:
            StorageError: If it cannot be moved; it is then still there under one of the names.
        """
        self.write(new_name, self.read(name))
        self.remove(name)

    def remove(self, name: str) -> None:
        """Deletes the file `name`.

        Raises:
            StorageError: If it cannot be deleted.
        """
        try:
            self._patiently(lambda: self.filesystem.delete_file(self._full(name)))
        except _FAILURES as error:
            raise StorageError(f"cannot delete {self._full(name)}: {error}") from error

    def delete(self) -> None:
        """Deletes the folder with everything in it.

        Raises:
            StorageError: If it cannot be deleted.
        """
        try:
            self.filesystem.delete_dir(self.path)
        except _FAILURES as error:
            raise StorageError(f"cannot delete {self.path}: {error}") from error

    def child(self, name: str) -> Folder:
        """The folder `name` in this one."""
        return Folder(join(self.location, name))

    def check_writable(self) -> None:
        """Writes, reads and deletes a small file.

        Raises:
            StorageError: If one of the three fails.
        """
        name = f".writable-{uuid.uuid4().hex}"
        self.write(name, b"autoshrink_ray")
        if self.read(name) != b"autoshrink_ray":
            raise StorageError(f"{self.location} does not give back what was written to it")
        self.remove(name)


def _flush_to_device(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
