"""`autoshrink-ray export`: a trained network as a file for other programs."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

import typer

from autoshrink_ray.config import DEFAULT_STORAGE
from launch.evaluate import (
    Data,
    DataDir,
    MaxBadFraction,
    NetworkArgument,
    Plugins,
    Storage,
    Weights,
    data_changes,
    trained_at,
)

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray export night --format onnx

  autoshrink-ray export night --format torch-export -o mobile.pt2 --samples 256

  autoshrink-ray export net.json --weights weights.safetensors --data digits --format onnx
"""


def export(
    network: NetworkArgument,
    format: Annotated[str, typer.Option(help="onnx or torch-export.", show_default=False)],
    weights: Weights = None,
    data: Data = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="File or URI to write. (default the network's name)"),
    ] = None,
    samples: Annotated[
        int, typer.Option(help="Validation images, or words in a row, to check with.", min=3)
    ] = 32,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Largest difference that is allowed, as a share of the largest output or of 1. "
            "(default 0.0001)",
            min=0,
            show_default=False,
        ),
    ] = None,
    data_dir: DataDir = None,
    max_bad_fraction: MaxBadFraction = None,
    storage: Storage = DEFAULT_STORAGE,
    plugins: Plugins = None,
) -> None:
    """Write a trained network as a file, with a card beside it.

    Before the file is there it is read back and compared with the network on validation data.
    Of a language model one time step is exported: words and state to logits and new state.
    """
    from trainables.export import TOLERANCE, file_format
    from trainables.export import export as export_network
    from trainables.export.inputs import real_inputs

    chosen = file_format(format)
    trained = trained_at(network, weights, storage, plugins or ())
    plan = trained.plan(**data_changes(network, trained, data, data_dir, max_bad_fraction))
    trained.module()  # weights that do not fit are named before data are read
    path = output or f"{_stem(network)}{chosen.suffix}"
    card = export_network(
        trained.network,
        trained.weights,
        trained.card,
        real_inputs(trained, plan, samples),
        format=format,
        path=path,
        tolerance=TOLERANCE if tolerance is None else tolerance,
    )
    _print(path, card)


def _stem(location: str) -> str:
    """Name of a network file or training, without what is in front and behind."""
    name = PurePosixPath(location.partition("?")[0].rstrip("/")).name
    return name.removesuffix(".json").removesuffix(".network") or "network"


def _print(path: str, card: Any) -> None:
    parity = card.parity
    same = "the same predictions" if parity.same_predictions else "not all predictions the same"
    typer.echo(f"wrote {path} and {path}.card.json")
    typer.echo(
        f"checked with {parity.runtime} on {parity.inputs:,} real inputs: largest difference "
        f"{parity.largest_difference:.3g}, {same}"
    )


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(export)
