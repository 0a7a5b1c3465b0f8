"""Networks from cells, what they cost, and the published ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import ConfigError, RunError, choices
from autoshrink_ray.files import NOT_YAML
from launch.sources import network_at, put, source_at
from launch.tables import cell_text
from search_spaces.derive import derive as derive_network
from search_spaces.derive import preset_names
from search_spaces.network import NetworkFile

EXAMPLES = """
[bold]Examples[/bold]

  autoshrink-ray derive first --preset digits

  autoshrink-ray derive best.cell.json --preset imagenet --target-macs 400M -o mobile.network.json

  autoshrink-ray derive shrink-cnn-b --preset cifar --channel-scale 2 --set head_filters=256

  autoshrink-ray derive shrink-rnn --preset ptb --hidden-size 200 --vocabulary 5000
"""

_LARGEST = 10**18
"""Largest number that an option takes; writing out much larger ones takes long."""

_SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}

Plugins = Annotated[
    list[str] | None, typer.Option("--plugin", help="Module that registers own spaces.")
]


def _option(help_text: str, *names: str) -> Any:
    return typer.Option(*names, help=help_text, show_default=False)


def derive(
    cell: Annotated[
        str,
        typer.Argument(metavar="CELL|RUN", help="Cell file, run, or name of a published cell."),
    ],
    preset: Annotated[str, _option(f"What stands around the cell: {choices(preset_names())}.")],
    channel_scale: Annotated[float | None, _option("Factor of all widths.")] = None,
    replicate: Annotated[str | None, _option("Cells of each stage, such as 1,3,4,6,4.")] = None,
    activation: Annotated[str | None, _option("relu or swish.")] = None,
    hidden_size: Annotated[int | None, _option("Size of state and embedding.")] = None,
    settings: Annotated[
        list[str] | None, _option("KEY=VALUE: any setting around the cell.", "--set")
    ] = None,
    classes: Annotated[int | None, _option("Classes to tell apart.")] = None,
    image_size: Annotated[int | None, _option("Height and width of images.")] = None,
    channels: Annotated[int | None, _option("Channels of images.")] = None,
    vocabulary: Annotated[int | None, _option("Words to tell apart.")] = None,
    target_macs: Annotated[
        str | None, _option("Widest network of at most this many MACs, such as 400M.")
    ] = None,
    target_params: Annotated[
        str | None, _option("Widest network of at most this many parameters, such as 5.2M.")
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File or URI to write.")
    ] = "network.json",
    storage: Annotated[
        str, typer.Option(help="Folder or URI that holds the runs.")
    ] = DEFAULT_STORAGE,
    plugins: Plugins = None,
) -> None:
    """Write the network file of a cell, from a preset and changes on top of it.

    Options that are left out are the preset's.
    """
    given = {
        "channel_scale": channel_scale,
        "replicate": None if replicate is None else _numbers("--replicate", replicate),
        "activation": activation,
        "hidden_size": hidden_size,
    }
    shape = {
        "classes": classes,
        "height": image_size,
        "width": image_size,
        "channels": channels,
        "vocabulary": vocabulary,
    }
    source = source_at(cell, storage, plugins or ())
    macro = _macro(_given(given), settings or [])
    targets = _given({"macs": target_macs, "params": target_params})
    changes = {"macro": {**source.macro, **macro}, "input": _given(shape)}
    network = _network(source.cell, preset, targets, changes)
    put(network.to_json(), output)
    typer.echo(_summary(network))


def _network(
    cell: Any, preset: str, targets: dict[str, str], changes: dict[str, Any]
) -> NetworkFile:
    if not targets:
        return derive_network(cell, preset, **changes)
    if len(targets) > 1:
        raise ConfigError("one target decides the width: give --target-macs or --target-params")
    from search_spaces.fit import fit

    ((cost, text),) = targets.items()
    budget = quantity(f"--target-{cost}", text)
    return fit(cell, preset, cost=cost, budget=budget, **changes)


def count(
    network: Annotated[
        str,
        typer.Argument(metavar="NETWORK", help="Network file, or name of a published network."),
    ],
    layers: Annotated[bool, typer.Option("--layers", help="Every layer, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    plugins: Plugins = None,
) -> None:
    """Count parameters, multiply-accumulates and activation memory of a network.

    Counted on the built network, and compared with the costs that its file states.
    """
    from search_spaces.count import count as count_network

    found = network_at(network, plugins or ())
    counts = count_network(found)
    differences = counts.differences(found.costs)
    if differences:
        raise RunError(f"two ways to count {network} differ: {'; '.join(differences)}")
    rows = [
        {
            "name": layer.name,
            "kind": layer.kind,
            "output": layer.output,
            "params": layer.params,
            "macs": layer.macs,
        }
        for layer in counts.layers
    ]
    if as_json:
        shown: dict[str, Any] = {**counts.costs, "activation_bytes": counts.activation_bytes}
        typer.echo(json.dumps(shown | ({"layers": rows} if layers else {}), indent=2))
        return
    if layers:
        Console().print(_layer_table(rows))
    for name, value in _figures(found, counts.costs, counts.activation_bytes):
        typer.echo(f"{name:<30}{value}")


def zoo(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A published cell.")] = None,
    network: Annotated[
        bool, typer.Option("--network", help="The published network, not the cell alone.")
    ] = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="File or URI to write; none prints it.")
    ] = None,
) -> None:
    """List published cells and networks, or write one as a file."""
    from search_spaces.zoo import CELLS

    if name is None:
        for option, value in (("--network", network), ("--output", output)):
            if value:
                raise ConfigError(f"{option} needs the name of a cell: {choices(CELLS)}")
        for known, entry in CELLS.items():
            typer.echo(f"{known}: {entry.description}")
            typer.echo(cell_text(entry.topology))
            typer.echo(f"  network: {_summary(entry.network)}")
        return
    if name not in CELLS:
        raise ConfigError(f"unknown cell {name!r}; choose one of {choices(CELLS)}")
    entry = CELLS[name]
    put((entry.network if network else entry.cell).to_json(), output)


def quantity(option: str, text: str) -> int:
    """A whole number as people write it: 400M, 5.2M, 1G, 750k, 12_000 or 12000.

    Raises:
        ConfigError: If it is none, below 1 or above 10^18.
    """
    suffix = text[-1:].lower() if text[-1:].lower() in _SUFFIXES else ""
    with suppress(InvalidOperation):  # no number, or none that can be compared
        number = Decimal(text[: len(text) - len(suffix)]) * _SUFFIXES[suffix]
        if 1 <= number <= _LARGEST and number == int(number):
            return int(number)
    raise ConfigError(
        f"{option} is a whole number from 1 to 10^18, such as 400M, 5.2M, 1G, 750k or 12000; "
        f"got {text!r}"
    )


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"{option} is whole numbers with commas between, such as 1,3,4,6,4; got {text!r}"
        ) from error


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _macro(options: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """Options and `--set KEY=VALUE` together; each setting once."""
    macro = dict(options)
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set takes KEY=VALUE, such as head_filters=256; got {text!r}")
        if key in macro:
            raise ConfigError(f"{key} is given twice: {macro[key]} and {value}")
        try:
            macro[key] = yaml.safe_load(value)
        except NOT_YAML as error:
            problem = " ".join(str(error).split())
            raise ConfigError(f"--set {key}: the value is not valid YAML: {problem}") from error
    return macro


def _summary(network: NetworkFile) -> str:
    costs = network.costs
    parts = [f"{costs['params']:,} parameters", f"{costs['macs']:,} MACs"]
    for field in ("channel_scale", "hidden_size"):
        if field in network.macro:
            parts.append(f"{field} {network.macro[field]:g}")
    return f"{', '.join(parts)}, recipe {network.recipe}"


def _figures(
    network: NetworkFile, costs: Mapping[str, int], activation_bytes: int
) -> list[tuple[str, str]]:
    thing = "word" if network.task == "text" else "image"
    names = {
        "params": "parameters",
        "params_without_bn": "  without batch norm",
        "macs": f"MACs of one {thing}",
        "decoder_macs": "  and of the decoder",
    }
    figures = [(text, f"{costs[name]:,}") for name, text in names.items() if name in costs]
    figures.append((f"activations of one {thing}", f"{activation_bytes:,} bytes"))
    return figures


def _layer_table(rows: list[dict[str, Any]]) -> Table:
    table = Table()
    for name in ("layer", "kind", "output", "parameters", "MACs"):
        table.add_column(name, justify="right" if name in ("parameters", "MACs") else "left")
    for row in rows:
        output = " x ".join(map(str, row["output"]))
        name = escape(row["name"]) or "(network itself)"
        table.add_row(name, row["kind"], output, f"{row['params']:,}", f"{row['macs']:,}")
    return table


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog=EXAMPLES)(derive)
    app.command()(count)
    app.command()(zoo)
