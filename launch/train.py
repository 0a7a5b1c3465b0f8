"""`autoshrink-ray train`: a network trained in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from autoshrink_ray.errors import AutoshrinkError, UsageError
from launch import options
from launch.epochs import EpochProgress, metrics_line
from launch.options import DATA, RUN, option
from launch.sources import network_at

if TYPE_CHECKING:
    from trainables.final.folder import TrainingRun

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray train digits.network.json --name first

  autoshrink-ray train big.network.json --data imagefolder:images --gpus-per-worker 1

  autoshrink-ray train big.network.json --data parquet:images --workers 8 --loader-workers 6

  autoshrink-ray train rnn.network.json --data text:ptb --set learning_rate=10

A training that was interrupted goes on when it is started again under its name.
"""


Network = Annotated[
    str, typer.Argument(metavar="NETWORK", help="Network file, or name of a published network.")
]


def train(
    network: Network,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    recipe: options.Recipe = None,
    epochs: Annotated[int | None, option("Epochs at most. (default the recipe's)", DATA)] = None,
    batch_size: Annotated[
        int | None, option("Batch of all workers together. (default the recipe's)", DATA)
    ] = None,
    changes: options.Changes = None,
    train_per_class: options.TrainPerClass = None,
    valid_per_class: options.ValidPerClass = None,
    max_bad_fraction: options.MaxBadFraction = None,
    seed: Annotated[int | None, option("Seed of everything random. (default 0)", DATA)] = None,
    name: Annotated[str | None, option("Name of the training. (default a fresh one)", RUN)] = None,
    storage: options.Storage = None,
    workers: Annotated[
        int | None, option("Processes that train together. (default 1)", RUN)
    ] = None,
    cpus_per_worker: Annotated[
        int | None, option("CPUs and threads of each. (default 1)", RUN)
    ] = None,
    gpus_per_worker: Annotated[
        float | None, option("GPUs of each: 0, 1, or a fraction. (default 0)", RUN)
    ] = None,
    loader_workers: Annotated[
        int | None, option("Processes that prepare images for each. (default 0)", RUN)
    ] = None,
    checkpoint_every: Annotated[
        int | None, option("Epochs from one checkpoint to the next. (default 1)", RUN)
    ] = None,
    max_retries: Annotated[
        int | None, option("Tries for a training that lost its workers. (default 3)", RUN)
    ] = None,
    address: options.Address = None,
    plugins: options.Plugins = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a network in full, or go on with the training of that name."""
    given = {key: value for key, value in locals().items() if value is not None}
    from trainables.final.config import TrainConfig

    config = {key: given[key] for key in TrainConfig.model_fields if key in given}
    _run(network, config | {"settings": options.recipe_settings(given)}, quiet=quiet)


def _run(location: str, config: dict[str, Any], *, quiet: bool) -> None:
    from trainables.final.trainer import train as train_network

    console = Console()
    network = network_at(location, config.get("plugins", ()))
    with EpochProgress(Console(quiet=quiet)) as progress:
        try:
            run = train_network(network, observers=[progress], **config)
        except AutoshrinkError as error:
            if not isinstance(error, UsageError) and "name" not in config:
                progress.say_how_to_go_on()
            raise
    _print_result(console, run, already=not progress.started)


def _print_result(console: Console, run: TrainingRun, *, already: bool) -> None:
    """What was reached, where it is, and what to do with it."""
    location = run.folder.location
    seconds = sum(record["seconds"] for record in run.history)
    epoch = run.card.provenance["epoch"]
    lines = [
        f"{run.name} {'was finished already' if already else 'is finished'}: "
        f"{len(run.history)} epochs in {seconds:.0f} s",
        f"weights of epoch {epoch}: {metrics_line(run.card.metrics)}",
        f"  {run.folder.child('weights.safetensors').location}",
        "",
        "Look further",
        f"  autoshrink-ray evaluate {location}",
        f"  autoshrink-ray export {location} --format onnx",
        f"  autoshrink-ray tensorboard {location}",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(train)
