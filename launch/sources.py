"""Where commands find cells and networks, and where they put what they make."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from autoshrink_ray import plugins as registry
from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import FileFormatError, RunError, StorageError, choices
from autoshrink_ray.files import CellFile
from autoshrink_ray.results import Run
from autoshrink_ray.storage import Folder, join
from search_spaces.network import NetworkFile
from search_spaces.zoo import CELLS

_CARRIED = ("activation",)
"""Settings of a search that belong to the cell more than to the network around it."""


@dataclass(frozen=True)
class CellSource:
    """A cell, and the settings that go with it into every network.

    Attributes:
        cell: The cell.
        macro: Settings that it was searched or published with.
    """

    cell: CellFile
    macro: dict[str, Any]


def network_at(location: str, plugins: Sequence[str] = ()) -> NetworkFile:
    """The network at `location`.

    Args:
        location: Path or URI of a network file, or the name of a published network.
        plugins: Modules that register own search spaces; they are imported first.

    Raises:
        ConfigError: If a plug-in is no module.
        StorageError: If there is nothing to read.
        FileFormatError: If it is no network file, is damaged or from a newer version.
    """
    load_plugins(plugins)
    if location in CELLS:
        return CELLS[location].network
    content = _read(location, "network", "a network file (autoshrink-ray derive writes one)")
    if _has(content, "nodes") and not _has(content, "macro"):
        raise FileFormatError(
            f"{location} is a cell, and a network is needed: "
            f"autoshrink-ray derive {location} makes one"
        )
    return NetworkFile.from_json(content, location)


def source_at(
    location: str, storage: str = DEFAULT_STORAGE, plugins: Sequence[str] = ()
) -> CellSource:
    """The cell at `location`, with the settings that belong to it.

    Args:
        location: Name of a published cell, a run (path, URI or its name in `storage`; its best
            cell is meant), or path or URI of a cell file.
        storage: Folder or URI that holds the runs.
        plugins: Modules that register own search spaces; they are imported first.

    Raises:
        ConfigError: If a plug-in is no module.
        StorageError: If there is nothing to read.
        FileFormatError: If a file is damaged or from a newer version.
        RunError: If the run has no best cell yet.
    """
    load_plugins(plugins)
    if location in CELLS:
        return CellSource(CELLS[location].cell, dict(CELLS[location].macro))
    run = run_at(location, storage)
    if run is not None:
        return _best(run)
    expected = f"a cell file or a run (runs by name are looked up in {storage!r})"
    content = _read(location, "cell", expected)
    if _has(content, "macro"):
        raise FileFormatError(f"{location} is a network already, and a cell is needed")
    return CellSource(CellFile.from_json(content, location), {})


def run_at(location: str, storage: str) -> Run | None:
    """The run at `location`, a path, a URI or a name in `storage`; None if there is none.

    Raises:
        StorageError: If the storage does not answer.
    """
    try:
        return Run(location, storage)
    except StorageError:
        if "/" not in location:
            Folder(join(storage, location)).exists()  # a storage that does not answer says so
        return None


def best_cell(run: Run) -> CellFile:
    """The best cell of a run.

    Raises:
        RunError: If no round is decided yet.
    """
    if run.best is None:
        raise RunError(f"the run {run.name!r} has no decided round yet, so no best cell")
    return run.cell(run.best)


def load_plugins(modules: Sequence[str]) -> None:
    """Imports modules that register own search spaces and data sets.

    Raises:
        ConfigError: If one of them is no module.
    """
    for module in modules:
        registry.load_plugin(module)


def put(content: bytes, output: str | None) -> None:
    """Writes a file and says so, or prints it. All but devices and pipes are written atomically.

    Args:
        content: What is in the file, text in UTF-8.
        output: Path or URI; None prints.

    Raises:
        StorageError: If it cannot be written.
    """
    if output is None:
        typer.echo(content.decode(), nl=False)
        return
    special = "://" not in output and Path(output).exists() and not Path(output).is_file()
    if special:  # a device or a pipe must not be replaced by a file
        _write_into(Path(output), content)
    else:
        Folder(output).write("", content)
    typer.echo(f"wrote {output}")


def _write_into(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}") from error


def _best(run: Run) -> CellSource:
    macro = run.file.config.get("macro", {})
    return CellSource(best_cell(run), {name: macro[name] for name in _CARRIED if name in macro})


def _read(location: str, kind: str, expected: str) -> bytes:
    file = Folder(location)
    if not file.exists():
        raise StorageError(
            f"no {kind} at {location}: give path or URI of {expected}, "
            f"or one of the published {choices(CELLS)}"
        )
    return file.read("")


def _has(content: bytes, key: str) -> bool:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and key in data
