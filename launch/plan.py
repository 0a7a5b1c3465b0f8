"""`autoshrink-ray plan`: what a search would take and cost on so many workers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.forecast import MEASURED, Overheads, Row, recommended, rows
from autoshrink_ray.forecast.subject import Subject
from autoshrink_ray.forecast.words import advice, duration
from autoshrink_ray.results import Run
from launch import options
from launch.inspect import Storage
from launch.options import RUN, option
from launch.search import configuration

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray plan night --workers 1,8,64 --price-per-gpu-hour 2.5

  autoshrink-ray plan --preset paper-cnn --seconds-per-candidate 300 --gpus-per-trial 0.25

  autoshrink-ray plan my.yaml --searches 4 --seconds-per-candidate 60 --json
"""

_METHOD = "Method"
_SEARCH = (
    *("preset", "space", "algorithm", "nodes", "candidates", "keep_fraction", "budget"),
    *("seed", "evaluation_seed", "searches", "plugins"),
)
"""Options that make a search; a run brings its own."""

_MOST_WORKERS = 100_000
_MOST_DRAWS = 1000


def plan(
    subject: Annotated[
        str | None, typer.Argument(metavar="[RUN|CONFIG.yaml]", help="A run, or settings.")
    ] = None,
    workers: Annotated[
        str, typer.Option(help="Numbers of trials at once, with commas.")
    ] = "1,2,4,8,16,32,64",
    seconds_per_candidate: Annotated[
        float | None, option("Seconds of a training. (default as measured in RUN)", None)
    ] = None,
    price_per_gpu_hour: Annotated[
        float | None, option("Price of one GPU for an hour, in any currency.", None)
    ] = None,
    node_start_seconds: Annotated[
        float, typer.Option(help="Until an autoscaled node is up.")
    ] = 0.0,
    draws: Annotated[int, typer.Option(help="How often what is open is drawn.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    preset: Annotated[str | None, option("demo, paper-cnn or paper-rnn.", _METHOD)] = None,
    space: Annotated[str | None, option("cnn, rnn, or an own one.", _METHOD)] = None,
    algorithm: Annotated[str | None, option("shrink or random.", _METHOD)] = None,
    nodes: Annotated[int | None, option("Nodes of the cell.", _METHOD)] = None,
    candidates: Annotated[int | None, option("Edges tried a round.", _METHOD)] = None,
    keep_fraction: Annotated[
        float | None, option("Stop at this fraction of edges.", _METHOD)
    ] = None,
    budget: Annotated[int | None, option("Evaluations of a random search.", _METHOD)] = None,
    seed: Annotated[int | None, option("Seed of the first search.", _METHOD)] = None,
    evaluation_seed: Annotated[int | None, option("Seed of all trainings.", _METHOD)] = None,
    searches: Annotated[int | None, option("Searches of the run.", _METHOD)] = None,
    granularity: Annotated[str | None, option("candidate or search: what a trial is.", RUN)] = None,
    gpus_per_trial: options.GpusPerTrial = None,
    plugins: options.Plugins = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Forecast wall clock, utilisation, GPU hours and cost of a search."""
    given = {key: value for key, value in locals().items() if value is not None}
    counts = _counts(workers)
    _check(given)
    found = _subject(given)
    gpus = found.plan.config.gpus_per_trial
    if price_per_gpu_hour is not None and not gpus:
        raise ConfigError("--price-per-gpu-hour needs trials with GPUs: give --gpus-per-trial")
    overheads = replace(MEASURED, node=node_start_seconds)
    simulated = {count: found.simulate(count, overheads) for count in counts}
    table = rows(simulated, gpus, price_per_gpu_hour)
    sizes = [[draw.trainings for draw in of] for of in simulated.values()]
    trainings = (min(map(min, sizes)), max(map(max, sizes)))
    if as_json:
        content = _as_dict(found, table, overheads, trainings)
        typer.echo(json.dumps(content, indent=2, allow_nan=False))
    else:
        _print(found, table, trainings)


def _counts(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        is_number = part.isascii() and part.isdigit() and len(part) <= len(str(_MOST_WORKERS))
        if not is_number or not 1 <= int(part) <= _MOST_WORKERS:
            raise ConfigError(
                f"--workers takes whole numbers from 1 to {_MOST_WORKERS} with commas, as in "
                f"1,8,64, got {text!r}"
            )
    return sorted({int(part) for part in parts})


def _check(given: Mapping[str, Any]) -> None:
    for key in ("seconds_per_candidate", "price_per_gpu_hour", "node_start_seconds"):
        value = given.get(key, 0.0)
        if not math.isfinite(value) or value < 0:
            name = key.replace("_", "-")
            raise ConfigError(f"--{name} is a finite number of at least 0, got {value}")
    if given.get("seconds_per_candidate") == 0:
        raise ConfigError("--seconds-per-candidate is more than 0, got 0")
    if not 1 <= given["draws"] <= _MOST_DRAWS:
        raise ConfigError(f"--draws is from 1 to {_MOST_DRAWS}, got {given['draws']}")


def _subject(given: dict[str, Any]) -> Subject:
    name, seconds = given.get("subject"), given.get("seconds_per_candidate")
    if name is not None and not name.endswith((".yaml", ".yml")):
        extra = [key for key in _SEARCH if key in given]
        if extra:
            names = ", ".join("--plugin" if e == "plugins" else _dashed(e) for e in extra)
            raise ConfigError(f"a run brings its own search, got {names} beside RUN {name!r}")
        changes = {key: given[key] for key in ("gpus_per_trial", "granularity") if key in given}
        return Subject.of_run(Run(name, given["storage"]), seconds, given["draws"], **changes)
    if name is None and "preset" not in given and "space" not in given:
        raise ConfigError("say what to forecast: a RUN, a CONFIG.yaml, --preset or --space")
    if seconds is None:
        raise ConfigError(
            "nobody knows yet how long a candidate of this search trains: give "
            "--seconds-per-candidate, or a RUN that has trained some"
        )
    layers = {key: value for key, value in given.items() if key != "storage"}
    config = layers | ({"config": Path(name)} if name is not None else {})
    return Subject.of_config(configuration(config), seconds, given["draws"])


def _dashed(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _as_dict(
    found: Subject, table: list[Row], overheads: Overheads, trainings: tuple[int, int]
) -> dict[str, Any]:
    return {
        "of": found.what,
        "draws": len(found.sources),
        "trainings": {"least": trainings[0], "most": trainings[1]},
        "gpus_per_trial": found.plan.config.gpus_per_trial,
        "overheads": asdict(overheads),
        "rows": [asdict(row) for row in table],
        "recommended_workers": recommended(table).workers,
        "widest": found.widest(),
    }


def _print(found: Subject, table: list[Row], trainings: tuple[int, int]) -> None:
    console = Console()
    least, most = trainings
    size = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    title = f"{found.what}: {size} trainings, {len(found.sources)} draws"
    shown = Table(title=escape(title), box=SIMPLE_HEAD)
    has_gpus = found.plan.config.gpus_per_trial > 0
    has_price = table[0].cost is not None
    names = ["workers", "wall\nclock", "from", "to", "busy"]
    names += ["GPU h\nbusy", "GPU h\npaid"] if has_gpus else []
    names += ["cost"] if has_price else []
    for name in names:
        shown.add_column(name, justify="right", no_wrap=True)
    chosen = recommended(table)
    for row in table:
        style = "bold green" if row.workers == chosen.workers else ""
        shown.add_row(*_cells(row, gpus=has_gpus), style=style)
    console.print(shown)
    for line in advice(chosen, found.widest()):
        console.print(line, highlight=False)


def _cells(row: Row, *, gpus: bool) -> list[str]:
    cells = [f"{row.workers:,}", *map(duration, (row.wall, row.least, row.most))]
    cells.append(f"{row.utilisation:.0%}")
    cells += [f"{row.busy_hours:.2f}", f"{row.paid_hours:.2f}"] if gpus else []
    return cells + ([f"{row.cost:,.2f}"] if row.cost is not None else [])


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=EXAMPLES)(plan)
