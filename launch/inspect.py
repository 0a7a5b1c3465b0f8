"""Looking at runs and published cells, and deleting runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import ConfigError, FileFormatError, RunError, StorageError, choices
from autoshrink_ray.files import CellFile
from autoshrink_ray.progress import metrics_text
from autoshrink_ray.results import Run, list_runs
from launch.tables import cell_text, print_run

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Path or URI of a run, or its name in the storage.")
]
Storage = Annotated[str, typer.Option(help="Folder or URI that holds the runs.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="File to write; none prints it.")
]


def runs(storage: Storage = DEFAULT_STORAGE) -> None:
    """List the runs in a storage."""
    table = Table()
    for name in ("run", "space", "status", "evaluations", "best"):
        table.add_column(name)
    for run in list_runs(storage):
        table.add_row(*map(escape, _run_row(run)))
    console = Console()
    if table.row_count:
        console.print(table)
    else:
        place = escape(storage)
        console.print(f"no runs in {place}: start one with autoshrink-ray search --preset demo")


def _run_row(run: Run) -> list[str]:
    """A damaged run is a row too: it must not hide the others."""
    try:
        best = metrics_text(run.best) if run.best else "-"
        return [run.name, run.space, run.status, str(len(run.ledger.evaluations)), best]
    except FileFormatError as error:
        name = run.folder.path.rpartition("/")[2]
        return [name, "-", "damaged", "-", str(error)]


def show(
    run: RunArgument,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show a run's rounds and its answer."""
    found = Run(run, storage)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        print_run(Console(), found)


def best(run: RunArgument, storage: Storage = DEFAULT_STORAGE, output: Output = None) -> None:
    """Write a run's best cell as a cell file."""
    found = Run(run, storage)
    if found.best is None:
        raise RunError(f"the run {found.name!r} has no decided round yet, so no best cell")
    _write(found.cell(found.best), output)


def rm(
    run: RunArgument,
    storage: Storage = DEFAULT_STORAGE,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a run with everything in it."""
    found = Run(run, storage)
    if not yes:
        typer.confirm(f"Delete {found.folder.location} with everything in it?", abort=True)
    found.folder.delete()
    typer.echo(f"deleted {found.folder.location}")


def zoo(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A published cell.")] = None,
    output: Output = None,
) -> None:
    """List published cells, or write one as a cell file."""
    from search_spaces.zoo import CELLS

    if name is None:
        for known, cell in CELLS.items():
            typer.echo(f"{known}: {cell.description}")
            typer.echo(cell_text(cell.topology))
        return
    if name not in CELLS:
        raise ConfigError(f"unknown cell {name!r}; choose one of {choices(CELLS)}")
    cell = CELLS[name]
    provenance = {"name": name, "source": cell.source, "network": cell.description}
    published = dict(cell.published)
    _write(CellFile.of(cell.space, cell.topology, metrics=published, provenance=provenance), output)


def _write(cell: CellFile, output: Path | None) -> None:
    if output is None:
        typer.echo(cell.to_json().decode(), nl=False)
        return
    try:
        output.write_bytes(cell.to_json())
    except OSError as error:
        raise StorageError(f"cannot write {output}: {error}") from error
    typer.echo(f"wrote {output}")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (runs, show, best, rm, zoo):
        app.command()(command)
