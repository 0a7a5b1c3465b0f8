"""A copy of streams in a local folder, which TensorBoard reads as they grow.

TensorBoard itself reads object stores with other libraries than this project, other credentials
and a request for each look.
"""

from __future__ import annotations

from pathlib import Path

from autoshrink_ray.errors import StorageError
from autoshrink_ray.storage import Folder
from autoshrink_ray.tensorboard.events import PREFIX
from autoshrink_ray.tensorboard.several import each


class Mirror:
    """Keeps a local folder like the log directory of a run elsewhere.

    Args:
        source: The log directory.
        target: The local folder.
    """

    def __init__(self, source: Folder, target: Path) -> None:
        self._source = source
        self._target = target

    def refresh(self) -> None:
        """Fetches what is new, and deletes what is gone.

        Raises:
            StorageError: If the source cannot be read.
        """
        sizes = {
            name: size
            for name, size in self._source.sizes().items()
            if name.rpartition("/")[2].startswith(PREFIX)
        }
        each(self._fetch, [name for name, size in sizes.items() if self._size(name) != size])
        for path in self._target.rglob(f"{PREFIX}*"):
            if str(path.relative_to(self._target)) not in sizes:
                path.unlink()

    def _size(self, name: str) -> int | None:
        path = self._target / name
        return path.stat().st_size if path.exists() else None

    def _fetch(self, name: str) -> None:
        try:
            content = self._source.read(name)
        except StorageError:
            if self._source.exists(name):
                raise
            return  # a search that goes on has deleted it since
        _bring_up_to_date(self._target / name, content)


def _bring_up_to_date(path: Path, content: bytes) -> None:
    """Adds to a file what it lacks: TensorBoard goes on where it has stopped reading."""
    old = path.read_bytes() if path.exists() else b""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content.startswith(old):
        with path.open("ab") as file:
            file.write(content[len(old) :])
    else:
        path.write_bytes(content)
