"""`autoshrink-ray tune`: settings of a network and its recipe, tried with Optuna."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import AutoshrinkError, StorageError, UsageError
from launch import options
from launch.options import DATA, RUN, option
from launch.sources import network_at, source_at

if TYPE_CHECKING:
    from search_spaces.network import NetworkFile

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray tune first --preset digits --data digits --trials 20 --epochs 9

  autoshrink-ray tune network.json --trials 50 --vary recipe.learning_rate=0.01:1:log

  autoshrink-ray tune network.json --trials 50 --vary macro.activation=relu,swish

  autoshrink-ray tune network.json --trials 100 --objective quality-macs --name front

A study that was interrupted goes on when it is started again under its name, and a larger
--trials adds trials to it. optuna-dashboard opens the journal in its folder.
"""

_WHAT = "What is varied"

Source = Annotated[
    str,
    typer.Argument(
        metavar="CELL|NETWORK",
        help="Network file or name of a published network; with --preset a cell file, a run or "
        "the name of a published cell.",
    ),
]


def tune(
    source: Source,
    trials: Annotated[
        int, option("Trials in all, also those of earlier starts under this name.", _WHAT)
    ],
    preset: Annotated[
        str | None, option("What stands around a cell: cifar, digits, imagenet, ptb.", _WHAT)
    ] = None,
    objective: Annotated[
        str | None,
        option(
            "quality: TPE, and ASHA stops trials that fall behind. quality-macs: NSGA-II; every "
            "trial is trained to its end, since trials stopped early cannot be compared in "
            "two objectives. (default quality)",
            _WHAT,
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        option(
            "KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=a,b,c, where KEY is macro.NAME or "
            "recipe.NAME; replaces a default range or adds one.",
            _WHAT,
            "--vary",
        ),
    ] = None,
    space: Annotated[
        Path | None, option("YAML file with all ranges, instead of the default ones.", _WHAT)
    ] = None,
    grace_epochs: Annotated[
        int | None,
        option("Epochs that ASHA grants each trial. (default a ninth of all)", _WHAT),
    ] = None,
    reduction_factor: Annotated[
        float | None, option("ASHA lets one of so many trials go on. (default 3)", _WHAT)
    ] = None,
    population: Annotated[
        int | None, option("Trials of a generation of NSGA-II. (default 16)", _WHAT)
    ] = None,
    data: options.Data = None,
    data_dir: options.DataDir = None,
    recipe: options.Recipe = None,
    epochs: Annotated[
        int | None, option("Epochs of a trial at most. (default the recipe's)", DATA)
    ] = None,
    batch_size: Annotated[int | None, option("Batch. (default the recipe's)", DATA)] = None,
    changes: options.Changes = None,
    train_per_class: options.TrainPerClass = None,
    valid_per_class: options.ValidPerClass = None,
    max_bad_fraction: options.MaxBadFraction = None,
    seed: Annotated[
        int | None, option("Seed of what is tried and of every training. (default 0)", DATA)
    ] = None,
    name: Annotated[str | None, option("Name of the study. (default a fresh one)", RUN)] = None,
    storage: Annotated[
        str | None, option(f"Folder or URI of the studies. (default {DEFAULT_STORAGE})", RUN)
    ] = None,
    study_storage: Annotated[
        str | None,
        option(
            "Optuna's storage: URL such as sqlite:///x.db, or path of a journal. "
            "(default a journal in the study's folder)",
            RUN,
        ),
    ] = None,
    cpus_per_trial: options.CpusPerTrial = None,
    gpus_per_trial: options.GpusPerTrial = None,
    max_concurrent: options.MaxConcurrent = None,
    max_retries: Annotated[
        int | None, option("Tries for a trial that a worker lost. (default 3)", RUN)
    ] = None,
    address: options.Address = None,
    plugins: options.Plugins = None,
    quiet: options.Quiet = False,
) -> None:
    """Tune a network: try widths, depths, learning rates and regularisation around its own.

    Trials train without checkpoints; the best network's file and the command that trains it in
    full are the answer. A training that diverges or runs out of memory is a failed trial.
    """
    given = {key: value for key, value in locals().items() if value is not None}
    from trainables.tuning.config import TuningConfig
    from trainables.tuning.space import parse_variations, read_space

    config = {key: given[key] for key in TuningConfig.model_fields if key in given}
    config["settings"] = options.recipe_settings(given)
    config["ranges"] = {
        **(read_space(space) if space else {}),
        **parse_variations(given.get("vary", [])),
    }
    config["defaults"] = space is None
    chosen = TuningConfig.of(config)
    network = _network(source, preset, chosen.storage, chosen.plugins)
    _run(network, chosen, quiet=quiet)


def _network(source: str, preset: str | None, storage: str, plugins: Sequence[str]) -> NetworkFile:
    if preset is None:
        try:
            return network_at(source, plugins)
        except StorageError as error:
            raise StorageError(f"{error}; a cell or a run becomes one with --preset") from error
    from search_spaces.derive import derive

    found = source_at(source, storage, plugins)
    return derive(found.cell, preset, macro=found.macro)


def _run(network: NetworkFile, config: Any, *, quiet: bool) -> None:
    from launch.studies import StudyProgress, print_result
    from trainables.tuning.study import run_tuning

    with StudyProgress(Console(quiet=quiet)) as progress:
        try:
            result = run_tuning(network, config, observers=[progress])
        except AutoshrinkError as error:
            if not isinstance(error, UsageError) and config.name is None:
                progress.say_how_to_go_on()
            raise
    print_result(Console(), result)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(tune)
