"""`autoshrink-ray doctor`: is this machine, or that cluster, ready for a search?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.metadata import version
from platform import python_version
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from autoshrink_ray.config import DEFAULT_STORAGE, SearchConfig
from autoshrink_ray.errors import AutoshrinkError
from autoshrink_ray.plan import Plan
from autoshrink_ray.run import run_search
from autoshrink_ray.storage import Folder

_GIB = 2**30


def doctor(
    space: Annotated[str, typer.Option(help="Search space to try.")] = "cnn",
    data: Annotated[str | None, typer.Option(help="Data set. (default the space's own)")] = None,
    storage: Annotated[str, typer.Option(help="Folder or URI of the runs.")] = DEFAULT_STORAGE,
    address: Annotated[str | None, typer.Option(help="Ray cluster. (default this machine)")] = None,
    cpus_per_trial: Annotated[float, typer.Option(help="CPUs of a trial.")] = 1,
    gpus_per_trial: Annotated[float, typer.Option(help="GPUs of a trial.")] = 0,
) -> None:
    """Check versions, resources, storage and data, and search with one candidate."""
    from autoshrink_ray.cluster import connection

    config = SearchConfig.of(
        {
            "space": space,
            "data": data,
            "nodes": 2,
            "candidates": 1,
            "proxy": {"epochs": 1},
            "cpus_per_trial": cpus_per_trial,
            "gpus_per_trial": gpus_per_trial,
            "address": address,
        }
    )
    with connection(address):
        checks: list[tuple[str, Callable[[], str]]] = [
            ("versions", _versions),
            ("resources", _resources),
            ("storage", lambda: _storage(storage)),
            ("data", lambda: Plan.of(config).load_data().summary),
            ("one candidate", lambda: _one_candidate(config)),
        ]
        failed = [name for name, check in checks if not _passes(name, check)]
    if failed:
        raise typer.Exit(1)


def _passes(name: str, check: Callable[[], str]) -> bool:
    console = Console()
    try:
        found = check()
    except AutoshrinkError as error:
        console.print(f"[red]FAIL[/red] {name}: {escape(str(error))}", highlight=False)
        return False
    console.print(f"[green]ok[/green]   {name}: {escape(found)}", highlight=False)
    return True


def _versions() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("ray", "torch"))
    return f"Python {python_version()}, {packages}"


def _resources() -> str:
    from autoshrink_ray.cluster import node_resources

    nodes = node_resources()
    cpus, gpus, memory = (
        sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU", "memory")
    )
    return f"{len(nodes)} nodes, {cpus:g} CPUs, {gpus:g} GPUs, {memory / _GIB:.1f} GiB for trials"


def _storage(location: str) -> str:
    folder = Folder(location)
    folder.check_writable()
    return f"{folder.location} can be written, read and deleted in"


def _one_candidate(config: SearchConfig) -> str:
    with tempfile.TemporaryDirectory(prefix="autoshrink-ray-doctor-") as scratch:
        run = run_search(config, storage=scratch)
        row = run.table.to_pylist()[0]
    return f"trained in {row['seconds']:.1f} s on {row['device']} of {row['node']}"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(doctor)
