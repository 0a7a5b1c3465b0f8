"""`autoshrink-ray report`: a search, or several side by side, as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from autoshrink_ray import files
from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.report import comparison
from autoshrink_ray.report import report as run_report
from autoshrink_ray.results import Run
from autoshrink_ray.storage import Folder, join
from launch.further import commands
from launch.sources import put

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray report first

  autoshrink-ray report s3://bucket/runs/night -o night.html

  autoshrink-ray report first second third -o comparison.html

One run's report goes into its folder by default, a comparison into the working directory.
"""

Runs = Annotated[
    list[str],
    typer.Argument(metavar="RUN...", help="Paths or URIs of runs, or their names in the storage."),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help=f"File or URI to write. (default {files.REPORT} in the run's folder)",
        show_default=False,
    ),
]
Storage = Annotated[str, typer.Option(help="Folder or URI that holds the runs.")]


def report(runs: Runs, output: Output = None, storage: Storage = DEFAULT_STORAGE) -> None:
    """Write a run's report: answer, shrinking, front, cost, rounds. Several runs are compared."""
    found = [Run(run, storage) for run in runs]
    _refuse_twice([run.folder.location for run in found])
    if len(found) > 1:
        put(comparison(found).encode(), output or files.REPORT)
        return
    (run,) = found
    page = run_report(run, commands(run), links(run, output))
    put(page.encode(), output or join(run.folder.location, files.REPORT))


def _refuse_twice(locations: Sequence[str]) -> None:
    for place, location in enumerate(locations):
        if location in locations[:place]:
            raise ConfigError(f"a comparison names each run once, got {location} twice")


def links(run: Run, output: str | None) -> str | None:
    """What stands before names of the run's files in links of its report.

    Nothing where the report lies beside them; else the folder, if a browser can open it.
    """
    if output is None or _in(run.folder, output):
        return ""
    return None if _remote(run.folder) else f"{Path(run.folder.path).as_uri()}/"


def _in(folder: Folder, output: str) -> bool:
    place = Folder(output)
    same = place.filesystem.equals(folder.filesystem)
    return same and place.path.rpartition("/")[0] == folder.path


def _remote(folder: Folder) -> bool:
    return bool(folder.filesystem.type_name != "local")


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(report)
