"""`autoshrink-ray evaluate`: what trained weights reach on a split of a data set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import ConfigError, StorageError
from launch.sources import load_plugins, network_at

if TYPE_CHECKING:
    from trainables.evaluate import Evaluation, Trained

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray evaluate night

  autoshrink-ray evaluate night --split train --batch-size 512

  autoshrink-ray evaluate mobile.network.json --weights weights.safetensors --data imagefolder:val
"""

_NAMES = {
    "accuracy": "top-1 accuracy",
    "top5_accuracy": "top-5 accuracy",
    "perplexity": "perplexity",
    "loss": "loss",
}
"""Metrics in the order in which they are shown."""


def _option(help_text: str, *names: str, **extra: Any) -> Any:
    return typer.Option(*names, help=help_text, show_default=False, **extra)


NetworkArgument = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK|TRAINING",
        help="Network file, or path, URI or name of a training.",
    ),
]
Weights = Annotated[str | None, _option("Path or URI of weights. (default those of the training)")]
Data = Annotated[str | None, _option("Data set as for search. (default that of the training)")]
DataDir = Annotated[str | None, _option("Folder of downloaded data.")]
MaxBadFraction = Annotated[
    float | None, _option("Part of the images that may be damaged. (default the recipe's)")
]
Storage = Annotated[str, typer.Option(help="Folder or URI that holds the trainings.")]
Plugins = Annotated[
    list[str] | None, _option("Module that registers own spaces or data.", "--plugin")
]


def evaluate(
    network: NetworkArgument,
    weights: Weights = None,
    data: Data = None,
    split: Annotated[str, typer.Option(help="train or valid; of a text also test.")] = "valid",
    batch_size: Annotated[
        int | None, _option("Images, or columns of text, at a time.", min=1)
    ] = None,
    data_dir: DataDir = None,
    max_bad_fraction: MaxBadFraction = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    storage: Storage = DEFAULT_STORAGE,
    plugins: Plugins = None,
) -> None:
    """Evaluate trained weights: top-1 and top-5 accuracy, or perplexity, and loss.

    Of a training the averaged weights are meant, if it averaged. A GPU is used if there is one.
    """
    from trainables.evaluate import evaluate as evaluate_network

    trained = trained_at(network, weights, storage, plugins or ())
    changes = data_changes(network, trained, data, data_dir, max_bad_fraction)
    note = partial(typer.echo, err=True)
    found = evaluate_network(trained, split, batch_size=batch_size, note=note, **changes)
    if as_json:
        typer.echo(json.dumps(_as_dict(trained, found), indent=2))
        return
    typer.echo(f"{found.split}: {found.examples:,} {_things(trained)} ({found.data})")
    for name, text in _NAMES.items():
        if name in found.metrics:
            typer.echo(f"{text:<16}{found.metrics[name]:.4f}")


def trained_at(location: str, weights: str | None, storage: str, plugins: Sequence[str]) -> Trained:
    """A network with its weights.

    Args:
        location: A network file with `weights`, or a training (path, URI or its name in
            `storage`), whose own weights are the default.
        weights: Path or URI of weights; None for the training's.
        storage: Folder or URI that holds the trainings.
        plugins: Modules that register own search spaces; they are imported first.

    Raises:
        ConfigError: If there is a network file and no weights.
        StorageError: If there is nothing to read.
        FileFormatError: If a file is damaged.
    """
    from trainables.evaluate import Trained
    from trainables.final.folder import TrainingRun

    load_plugins(plugins)
    try:
        run = TrainingRun(location, storage)
    except StorageError as no_training:
        try:
            network = network_at(location)
        except StorageError as no_network:
            raise StorageError(f"{no_network}; and {no_training}") from None
        if weights is None:
            raise ConfigError(
                f"{location} is a network without weights: give --weights W, or a training"
            ) from None
        return Trained.from_files(network, weights)
    return Trained.from_training(run, weights)


def data_changes(
    location: str,
    trained: Trained,
    data: str | None,
    data_dir: str | None,
    max_bad_fraction: float | None,
) -> dict[str, Any]:
    """Options on data as fields of `TrainConfig`; those that are not given are left out.

    Raises:
        ConfigError: If no data are given and the network does not come from a training.
    """
    if data is None and trained.config.data is None:
        raise ConfigError(f"{location} is a network without data: give --data SPEC, or a training")
    given = {"data": data, "data_dir": data_dir}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings: dict[str, Any] = {}
    if max_bad_fraction is not None:
        settings["max_bad_fraction"] = max_bad_fraction
    if data is not None and "stream" in trained.config.settings:
        settings["stream"] = None  # it was said of other data
    return changes | ({"settings": settings} if settings else {})


def _things(trained: Trained) -> str:
    return "words" if trained.network.task == "text" else "images"


def _as_dict(trained: Trained, found: Evaluation) -> dict[str, Any]:
    return {
        "network": trained.network.sha256,
        "weights": trained.place,
        "data": found.data,
        "split": found.split,
        "examples": found.examples,
        "device": found.device,
        **found.metrics,
    }


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(evaluate)
