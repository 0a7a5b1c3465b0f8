"""Looking at runs, and deleting them."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import FileFormatError
from autoshrink_ray.results import Run, list_runs
from autoshrink_ray.wording import metrics_text
from launch.epochs import training_rows
from launch.sources import best_cell, put
from launch.tables import print_run

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Path or URI of a run, or its name in the storage.")
]
Storage = Annotated[str, typer.Option(help="Folder or URI that holds the runs.")]
Output = Annotated[
    str | None, typer.Option("--output", "-o", help="File or URI to write; none prints it.")
]


def runs(storage: Storage = DEFAULT_STORAGE) -> None:
    """List the searches and trainings in a storage."""
    table = Table()
    for name in ("run", "space", "status", "evaluations", "best"):
        table.add_column(name)
    for run in list_runs(storage):
        table.add_row(*map(escape, _run_row(run)))
    for row in training_rows(storage):
        table.add_row(*map(escape, row))
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
    put(best_cell(found).to_json(), output)


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


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (runs, show, best, rm):
        app.command()(command)
