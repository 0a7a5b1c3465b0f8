"""`autoshrink-ray search`: options on a configuration file on a preset."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from autoshrink_ray.config import SearchConfig, merge, preset, read_config
from autoshrink_ray.errors import AutoshrinkError, ConfigError, UsageError
from autoshrink_ray.json_progress import JsonProgress
from autoshrink_ray.plan import Plan
from autoshrink_ray.progress import ConsoleProgress
from autoshrink_ray.run import run_search
from launch import options
from launch.options import DATA, RUN, option
from launch.tables import print_run

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray search --preset demo

  autoshrink-ray search --preset demo --space rnn

  autoshrink-ray search --preset paper-cnn --gpus-per-trial 0.25 --name night

  autoshrink-ray search --preset paper-rnn --data text:ptb --searches 4

  autoshrink-ray search my.yaml --seed 1 --print-config

  autoshrink-ray search --name night --keep-fraction 0.005 --extend

  autoshrink-ray search --algorithm random --budget 50 --data parquet:images

A run that was interrupted goes on when it is started again under its name.
"""

_PROXY = ("epochs", "train_per_class", "valid_per_class", "image_size", "data_dir", "word_vectors")

_METHOD = "Method"

Config = Annotated[
    Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="Settings; they override a preset.")
]


def search(
    config: Config = None,
    preset: Annotated[str | None, option("demo, paper-cnn or paper-rnn.", _METHOD)] = None,
    space: Annotated[str | None, option("cnn, rnn, or an own one. (default cnn)", _METHOD)] = None,
    algorithm: Annotated[str | None, option("shrink or random. (default shrink)", _METHOD)] = None,
    policy: Annotated[
        str | None, option("Rules of shrinking: paper. (default paper)", _METHOD)
    ] = None,
    nodes: Annotated[
        int | None, option("Nodes of the cell. (default cnn 8, rnn 6)", _METHOD)
    ] = None,
    candidates: Annotated[int | None, option("Edges tried a round. (default 10)", _METHOD)] = None,
    keep_fraction: Annotated[
        float | None,
        option("Stop at this fraction of edges. (default cnn 0.01, rnn 0.25)", _METHOD),
    ] = None,
    budget: Annotated[int | None, option("Evaluations of a random search.", _METHOD)] = None,
    cost_weight: Annotated[
        float | None, option("Score lost for a tenfold cost. (default cnn 0.1, rnn 1)", _METHOD)
    ] = None,
    seed: Annotated[int | None, option("Seed of the first search. (default 0)", _METHOD)] = None,
    evaluation_seed: Annotated[
        int | None, option("Seed of all trainings. (default each search's seed)", _METHOD)
    ] = None,
    searches: Annotated[
        int | None, option("Searches with seeds S, S+1, ... (default 1)", _METHOD)
    ] = None,
    data: Annotated[
        str | None,
        option(
            "digits, cifar10, fashion-mnist, parquet:DIR, imagefolder:DIR, pydoc, text:DIR, "
            "or an own one. (default cnn digits, rnn pydoc)",
            DATA,
        ),
    ] = None,
    data_dir: options.DataDir = None,
    epochs: Annotated[int | None, option("Epochs at most. (default cnn 20, rnn 10)", DATA)] = None,
    train_per_class: Annotated[
        int | None,
        option("Training images a class. (default 500)", DATA, "--proxy-train-per-class"),
    ] = None,
    valid_per_class: Annotated[
        int | None,
        option("Validation images a class. (default 100)", DATA, "--proxy-valid-per-class"),
    ] = None,
    image_size: Annotated[int | None, option("Bring images to this size.", DATA)] = None,
    word_vectors: Annotated[
        str | None, option("Word vectors in GloVe's text format.", DATA)
    ] = None,
    name: Annotated[str | None, option("Name of the run. (default a fresh one)", RUN)] = None,
    storage: options.Storage = None,
    cpus_per_trial: options.CpusPerTrial = None,
    gpus_per_trial: options.GpusPerTrial = None,
    max_concurrent: options.MaxConcurrent = None,
    max_retries: Annotated[
        int | None, option("Tries for a candidate that a worker lost. (default 3)", RUN)
    ] = None,
    max_node_losses: Annotated[
        int | None, option("Tries for a candidate that a lost node took along. (default 20)", RUN)
    ] = None,
    trial_timeout: Annotated[
        float | None, option("Seconds after which a training counts as lost.", RUN)
    ] = None,
    cache: Annotated[
        str | None, option("Folder or URI of measurements that runs share.", RUN)
    ] = None,
    extend: Annotated[
        bool, option("Go on with a smaller --keep-fraction or more --searches.", RUN, "--extend")
    ] = False,
    fast: Annotated[
        bool,
        option("Faster algorithms that may give other last digits each time.", DATA, "--fast"),
    ] = False,
    granularity: Annotated[
        str | None, option("candidate or search: what a trial is. (default candidate)", RUN)
    ] = None,
    executor: Annotated[str | None, option("tune or in-process. (default tune)", RUN)] = None,
    address: options.Address = None,
    tensorboard: Annotated[
        str | None,
        option(
            "full, summary or off: what TensorBoard shows. (default full up to 300 candidates, "
            "then summary)",
            RUN,
        ),
    ] = None,
    plugins: options.Plugins = None,
    print_config: Annotated[
        bool, option("Show the resolved configuration and stop.", RUN, "--print-config")
    ] = False,
    quiet: options.Quiet = False,
    json_progress: Annotated[
        bool, option("Progress as JSON, an object a line.", RUN, "--json-progress")
    ] = False,
) -> None:
    """Run a search, or go on with the run of that name."""
    given = {key: value for key, value in locals().items() if value is not None}
    chosen = configuration(given)
    if print_config:
        shown = Plan.of(chosen).config.model_dump(mode="json") | {"space": chosen.space}
        typer.echo(yaml.safe_dump(shown, sort_keys=False), nl=False)
        return
    if extend and chosen.name is None:
        raise ConfigError("--extend goes on with a run that is there: give its --name")
    if json_progress and quiet:
        raise ConfigError("--json-progress and --quiet contradict each other: choose one")
    if json_progress:
        progress = JsonProgress(sys.stdout)
        with redirect_stdout(sys.stderr):  # Ray's messages are no events
            progress.end(run_search(chosen, observers=[progress], extend=extend))
    else:
        _run(chosen, quiet=quiet, extend=extend)


def configuration(given: dict[str, Any]) -> SearchConfig:
    """Options over the configuration file over the preset over the defaults."""
    layers = []
    if "preset" in given:
        layers.append(preset(given["preset"]))
    if "config" in given:
        layers.append(read_config(given["config"]))
    settings = {key: given[key] for key in SearchConfig.model_fields if key in given}
    proxy = {key: given[key] for key in _PROXY if key in given}
    if given.get("fast"):
        proxy["deterministic"] = False
    layers.append(settings | ({"proxy": proxy} if proxy else {}))
    config = SearchConfig.of(merge(*layers))
    if "candidates" in given and config.algorithm == "random":
        raise ConfigError(
            "--candidates belongs to algorithm shrink, got algorithm random: its number of "
            "evaluations is --budget"
        )
    return config


def _run(config: SearchConfig, *, quiet: bool, extend: bool) -> None:
    console = Console()
    try:
        with ConsoleProgress(Console(quiet=quiet)) as progress:
            run = run_search(config, observers=[progress], extend=extend)
    except AutoshrinkError as error:
        if not isinstance(error, UsageError) and config.name is None:
            console.print("`autoshrink-ray runs` lists the run; give its name to go on with it")
        raise
    print_run(console, run)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(search)
