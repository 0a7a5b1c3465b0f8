"""`autoshrink-ray tensorboard`: searches and trainings in TensorBoard."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.signals import interruptible
from launch.inspect import Storage

if TYPE_CHECKING:
    from launch.streams import Gathered

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray tensorboard first

  autoshrink-ray tensorboard one two --port 6007

  autoshrink-ray tensorboard s3://bucket/runs/night

It listens on this machine only. From elsewhere: ssh -L 6006:127.0.0.1:6006 HOST
"""

_LOOK = 0.2
"""Seconds from one look for a signal to the next."""

_REFRESH = 5.0
"""Seconds after which a run on another storage is looked at again."""

_PATIENCE = 2.0
"""Seconds for which Ctrl-C waits for a look at a storage that is slow, or gone."""

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...", help="Searches or trainings: paths, URIs, or names in the storage."
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        help="Port to listen at, 0 for any. (default the first free one from 6006 on)",
        show_default=False,
    ),
]


def tensorboard(runs: Runs, storage: Storage = DEFAULT_STORAGE, port: Port = None) -> None:
    """Show searches and trainings in TensorBoard, also while they go on."""
    from autoshrink_ray.tensorboard.server import serve  # TensorBoard takes half a second
    from launch.streams import Gathered

    console = Console()
    prefix = "autoshrink-ray-board-"
    with (
        TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name,
        interruptible() as caught,
    ):
        gathered = Gathered(Path(name), console)
        places = [gathered.add(location, storage) for location in runs]
        url = serve(str(places[0].resolve() if len(places) == 1 else name), port)
        console.print(f"TensorBoard at {url}{gathered.page}", highlight=False, soft_wrap=True)
        console.print("Ctrl-C ends it")
        _wait(gathered, caught)
    raise typer.Exit(128 + caught[-1])


def _wait(gathered: Gathered, caught: list[int]) -> None:
    """Waits for a signal; in a thread beside it, copies are kept up to date."""
    ended = Event()
    refreshing = Thread(target=_refresh, args=(gathered, ended), name="refresh", daemon=True)
    refreshing.start()
    while not caught:
        time.sleep(_LOOK)
    ended.set()
    refreshing.join(_PATIENCE)


def _refresh(gathered: Gathered, ended: Event) -> None:
    while not ended.wait(_REFRESH):
        gathered.refresh()


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(tensorboard)
