"""`autoshrink-ray verify`: does a run's answer follow from what is in its ledger?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.results import Run
from autoshrink_ray.verify import verify as checks

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray verify night

  autoshrink-ray verify s3://bucket/runs/night --re-evaluate 3
"""


def verify(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Path or URI of a run, or its name in the storage.")
    ],
    storage: Annotated[str, typer.Option(help="Folder or URI of the runs.")] = DEFAULT_STORAGE,
    re_evaluate: Annotated[
        int, typer.Option(min=0, help="Train so many random evaluations again and compare.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Chooses these evaluations.")] = 0,
) -> None:
    """Check a run: checksums, cells, seeds and that each decision follows.

    Exit code 1 with the first contradiction.
    """
    console = Console()
    found = Run(run, storage)
    for check in checks(found, re_evaluate=re_evaluate, seed=seed):
        console.print(f"ok    {check.name}: {escape(check.answer)}", highlight=False)
    console.print(f"{escape(found.name)} is {found.status} and consistent", highlight=False)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(verify)
