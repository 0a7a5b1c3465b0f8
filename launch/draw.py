"""`autoshrink-ray draw`: a cell, or a round of a search, as a picture."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

import typer

from autoshrink_ray.analysis import RoundView, round_view
from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.drawing import Picture, cell_picture
from autoshrink_ray.errors import ConfigError, RunError, choices
from autoshrink_ray.results import Run
from autoshrink_ray.wording import edge
from launch.sources import put, run_at, source_at
from search_spaces.zoo import CELLS

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray draw first

  autoshrink-ray draw shrink-rnn -o shrink-rnn.png

  autoshrink-ray draw best.cell.json -o s3://bucket/best.svg

  autoshrink-ray draw first --round 3 -o round-3.svg

Without -o the working directory gets NAME.cell.svg, or with --round
NAME.round-RRR.svg, NAME being that of the run, cell or cell file.
"""

_SUFFIXES = (".svg", ".png")

Source = Annotated[
    str,
    typer.Argument(
        metavar="CELL|RUN",
        help="Cell file, name of a published cell, or a run (path, URI or its name in the "
        "storage), whose best cell is meant.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="File or URI to write, ending in .svg or .png. (default NAME.cell.svg)",
        show_default=False,
    ),
]
Search = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Search of the run: its best cell, or its round. (default the run's best cell; "
        "with --round 0)",
        show_default=False,
    ),
]
Round = Annotated[
    int | None,
    typer.Option(
        "--round",
        min=1,
        help="A round of the run: its parent, each edge that was tried coloured by its score, "
        "the one that went marked.",
        show_default=False,
    ),
]
Storage = Annotated[str, typer.Option(help="Folder or URI that holds the runs.")]


def draw(
    source: Source,
    output: Output = None,
    search: Search = None,
    number: Round = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw a cell: operations by colour and label, outputs with a double outline."""
    suffix = ".svg" if output is None else _suffix(output)
    picture, name = _drawn(source, search, number, storage)
    content = picture.png() if suffix == ".png" else picture.svg().encode()
    put(content, name if output is None else output)


def _suffix(output: str) -> str:
    suffix = PurePosixPath(output.partition("?")[0] if "://" in output else output).suffix
    if suffix not in _SUFFIXES:
        raise ConfigError(
            f"a picture is a file that ends in one of {choices(_SUFFIXES)}, got {output!r}"
        )
    return suffix


def _drawn(
    source: str, search: int | None, number: int | None, storage: str
) -> tuple[Picture, str]:
    """The picture, and the name that its file has by default."""
    if search is None and number is None:
        return cell_picture(source_at(source, storage).cell.topology), f"{_stem(source)}.cell.svg"
    run = None if source in CELLS else run_at(source, storage)
    if run is None:
        raise ConfigError(f"--search and --round choose from a run, and {source} is none")
    wanted = search or 0
    if number is not None:
        return round_picture(run, wanted, number), f"{run.name}.round-{number:03d}.svg"
    best = run.search(wanted).best
    if best is None:
        raise RunError(f"search {wanted} of {run.name!r} has no decided round yet")
    return cell_picture(best.topology), f"{run.name}.cell.svg"


def round_picture(run: Run, search: int, number: int) -> Picture:
    """A round's parent, the edges that were tried coloured by score, the one that went marked.

    Candidates without a score are not coloured; how many there are is said in the heading.

    Raises:
        ConfigError: If there is no such round, or its candidates have no parent.
    """
    view = round_view(run, search, number)
    if view.parent is None:
        raise ConfigError(
            f"the candidates of round {number} of {run.name!r} have no parent to draw: "
            f"--round is for searches that shrink; its algorithm is "
            f"{run.file.identity['algorithm']}"
        )
    scores = {
        line.candidate.removed: line.score
        for line in view.ranked
        if line.candidate.removed is not None and line.score is not None
    }
    return cell_picture(
        view.parent,
        removed=view.decision.removed if view.decision else None,
        values=scores,
        title=_heading(run, view),
    )


def _heading(run: Run, view: RoundView) -> str:
    parts = []
    if view.decision is None:
        parts.append("open")
    elif view.decision.removed is not None:
        parts.append(f"{edge(view.decision.removed)} goes")
    if view.winner is not None:
        parts.append(f"best score {view.winner.score:.4f}")
    if view.failed:
        parts.append(f"{len(view.failed)} failed")
    return f"{run.name}, search {view.search}, round {view.number}: {', '.join(parts)}"


def _stem(source: str) -> str:
    """What a file is called without folder and suffixes; a run's or a cell's name as it is."""
    name = PurePosixPath(source.partition("?")[0].rstrip("/")).name
    return name.removesuffix(".json").removesuffix(".cell") or "picture"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(draw)
