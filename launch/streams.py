"""Streams of several runs, side by side in a local folder that TensorBoard can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from urllib.parse import quote

from pyarrow import fs
from rich.console import Console

from autoshrink_ray import files
from autoshrink_ray.errors import ConfigError, StorageError
from autoshrink_ray.plan import FULLY_SHOWN
from autoshrink_ray.results import Run
from autoshrink_ray.runfile import DescribingFile, RunFile
from autoshrink_ray.storage import Folder
from autoshrink_ray.tensorboard.board import SEARCH, Board
from autoshrink_ray.tensorboard.events import PREFIX
from autoshrink_ray.tensorboard.mirror import Mirror

_SEARCH = re.compile(r"search(-\d+)?$")
"""How streams of searches end."""

_SELECTED_UNASKED = 40
"""Streams up to which TensorBoard selects all."""


class _Training(DescribingFile):
    """A training's folder is told from others without importing torch, which takes seconds."""

    FILE = files.TRAIN


@dataclass
class Gathered:
    """A folder with the streams of each run in a folder of its own.

    Attributes:
        place: The folder.
        console: Where to say what is unusual.
        mirrors: Copies that have to be kept up to date.
    """

    place: Path
    console: Console
    mirrors: list[Mirror] = field(default_factory=list)

    def add(self, location: str, storage: str) -> Path:
        """Adds a run; where its streams are then.

        Raises:
            StorageError: If it is not there.
            ConfigError: If it has nothing to show.
        """
        folder = _find(location, storage)
        target = self.place / self._free(folder.path.rpartition("/")[2])
        if not _has_streams(folder):
            self._make(folder, target)
        elif isinstance(folder.filesystem, fs.LocalFileSystem):
            target.symlink_to(Path(folder.path, files.TENSORBOARD))
        else:
            mirror = Mirror(folder.child(files.TENSORBOARD), target)
            mirror.refresh()
            self.mirrors.append(mirror)
        return target

    @property
    def page(self) -> str:
        """Where to begin: on a search's custom scalars, with its own streams selected.

        TensorBoard selects all streams, or none if there are too many.
        """
        streams = {path.parent for path in self._event_files()}
        if not any(_SEARCH.search(stream.name) for stream in streams):
            return ""
        few = len(streams) <= _SELECTED_UNASKED
        chosen = "" if few else f"&regexInput={quote(_SEARCH.pattern)}"
        return f"#custom_scalars&_smoothingWeight=0{chosen}"

    def _event_files(self) -> Iterator[Path]:
        for place in self.place.iterdir():
            yield from place.resolve().rglob(f"{PREFIX}*")

    def _free(self, name: str) -> str:
        taken = {path.name for path in self.place.iterdir()}
        others = (f"{name} ({number})" for number in count(2))
        return next(free for free in chain([name], others) if free not in taken)

    def _make(self, folder: Folder, target: Path) -> None:
        """Makes streams of a run that has none, or no longer."""
        if not RunFile.exists(folder):
            raise ConfigError(
                f"the training {folder.location} has no curves yet: they begin with its first epoch"
            )
        run = Run(folder.location)
        if not run.ledger.evaluations:
            raise ConfigError(
                f"the run {run.name!r} has nothing to show yet: its first evaluation is not done"
            )
        self._say(f"{run.name} has no files for TensorBoard: this is what its ledger holds now")
        for damage in run.ledger.damaged:
            self._say(f"damaged: {damage.name}: {damage.reason}")
        board = Board(run, Folder(str(target)), full=len(run.ledger.evaluations) <= FULLY_SHOWN)
        board.start()
        board.end()

    def refresh(self) -> None:
        """Brings the copies up to date; a storage that does not answer is asked again later."""
        for mirror in self.mirrors:
            try:
                mirror.refresh()
            except StorageError as error:
                self._say(f"{error}; trying again")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def _has_streams(folder: Folder) -> bool:
    """Whether TensorBoard's files are there; of a search, that of the search itself."""
    stream = f"{files.TENSORBOARD}/{SEARCH}" if RunFile.exists(folder) else files.TENSORBOARD
    return any(name.rpartition("/")[2].startswith(PREFIX) for name in folder.files(stream))


def _find(location: str, storage: str) -> Folder:
    found = RunFile.find(location, storage) or _Training.find(location, storage)
    if found is None:
        raise StorageError(
            f"no search and no training at {Folder(location).location}: give <storage>/<name> or "
            f"a name in {storage!r}; `autoshrink-ray runs` lists them"
        )
    return found
