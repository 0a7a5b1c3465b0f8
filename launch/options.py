"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
import yaml

from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.files import NOT_YAML

DATA = "Data and training"
RUN = "Execution"


def option(help_text: str, panel: str | None, *names: str, **extra: Any) -> Any:
    """An option whose help names its default itself.

    Args:
        help_text: What it does, and in brackets its default.
        panel: Heading that it stands under.
        names: Its names, where they do not follow from the parameter's.
        extra: Further arguments of `typer.Option`.
    """
    return typer.Option(*names, help=help_text, rich_help_panel=panel, show_default=False, **extra)


Data = Annotated[
    str | None, option("Data set as for search. (default the search space's own)", DATA)
]
DataDir = Annotated[str | None, option("Folder of downloaded data.", DATA)]
Recipe = Annotated[
    str | None, option("imagenet, cifar, digits or ptb. (default the network file's)", DATA)
]
Changes = Annotated[
    list[str] | None, option("Another setting of the recipe: KEY=VALUE, as in YAML.", DATA, "--set")
]
TrainPerClass = Annotated[int | None, option("Training images a class. (default all)", DATA)]
ValidPerClass = Annotated[int | None, option("Validation images a class. (default all)", DATA)]
MaxBadFraction = Annotated[
    float | None, option("Part of the images that may be damaged. (default 0)", DATA)
]
Storage = Annotated[
    str | None, option(f"Folder or URI of the runs. (default {DEFAULT_STORAGE})", RUN)
]
CpusPerTrial = Annotated[float | None, option("CPUs of a trial. (default 1)", RUN)]
GpusPerTrial = Annotated[
    float | None, option("GPUs of a trial, a fraction shares one. (default 0)", RUN)
]
MaxConcurrent = Annotated[int | None, option("Trials at once. (default as many as fit)", RUN)]
Address = Annotated[
    str | None, option("Ray cluster to join. (default RAY_ADDRESS, else this machine)", RUN)
]
Plugins = Annotated[
    list[str] | None, option("Module that registers own spaces or data.", RUN, "--plugin")
]
Quiet = Annotated[bool, option("Only the answer.", RUN, "--quiet", "-q")]

_RECIPE = ("epochs", "batch_size", "train_per_class", "valid_per_class", "max_bad_fraction")
"""Options that are settings of the recipe."""


def recipe_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Changes to a recipe: options of their own, and `--set KEY=VALUE`.

    Args:
        options: Options that were given, by parameter.

    Raises:
        ConfigError: If a `--set` has another form, or a setting is given twice.
    """
    settings = {key: options[key] for key in _RECIPE if key in options}
    for change in options.get("changes", []):
        key, value = _change(change)
        if key in settings:
            raise ConfigError(f"the recipe's setting {key} is given twice")
        settings[key] = value
    return settings


def _change(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes KEY=VALUE, got {text!r}")
    try:
        return key, yaml.safe_load(value)
    except NOT_YAML as error:
        raise ConfigError(f"--set {key}=VALUE takes a value as in YAML, got {value!r}") from error
