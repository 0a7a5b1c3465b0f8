"""The command of a job: checked here, and made one that can be submitted again and goes on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import typer

from autoshrink_ray import __version__
from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.errors import ConfigError, choices
from launch.jobs.code import INPUTS

COMMANDS = ("search", "train", "tune")
"""Commands that have a run which goes on when they are given again."""

_FILES = {"search": ("config", "word_vectors"), "train": ("network",), "tune": ("source", "space")}
"""Parameters that may name a file on this machine, which then travels with the job."""

_LOCATIONS = ("storage", "cache", "study_storage")
_DATA_FOLDERS = ("parquet", "imagefolder", "text")

STOP_SIGNAL, STOP_SECONDS = "SIGINT", 120
"""How a job is asked to stop, and how long it may take; Ray's own 3 s are too few for a ledger."""


@dataclass(frozen=True)
class Request:
    """What is submitted.

    Attributes:
        run: Name of the run.
        storage: Where it is.
        arguments: The command for the driver, without the program.
        inputs: Files that it names, by their names in what is uploaded.
        fresh: Whether the run's name was made up here.
    """

    run: str
    storage: str
    arguments: tuple[str, ...]
    inputs: Mapping[str, Path] = field(default_factory=dict)
    fresh: bool = False

    @property
    def entrypoint(self) -> str:
        """The job's shell command; `exec`, so that signals reach the driver and no shell."""
        return f"exec python -m launch {shlex.join(self.arguments)}"

    @property
    def metadata(self) -> dict[str, str]:
        """What the job says of itself."""
        return {
            "run": self.run,
            "storage": self.storage,
            "command": shlex.join(self.arguments),
            "version": __version__,
        }

    @staticmethod
    def env_vars() -> dict[str, str]:
        """The environment that makes stopping it graceful."""
        return {
            "RAY_JOB_STOP_SIGNAL": STOP_SIGNAL,
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
        }


def parse(arguments: Sequence[str]) -> Request:
    """The request for what a user typed after `--`.

    Args:
        arguments: A command and its options, as at the command line.

    Raises:
        ConfigError: If the command is none that can go on, or a location is on this machine.
        typer.BadParameter: Or another usage error of the parser, for options that are wrong.
    """
    if not arguments or arguments[0] not in COMMANDS:
        given = f"got {arguments[0]!r}" if arguments else "got none"
        raise ConfigError(
            f"what is submitted is one of the commands {choices(COMMANDS)}, {given}; for example "
            f"autoshrink-ray submit -- search --preset demo --storage s3://bucket/runs"
        )
    name = arguments[0]
    command, given_options = _parsed(name, arguments[1:])
    settings = _settings(name, given_options)
    _require_reachable(settings)
    run = settings.get("name") or _fresh_name(name, settings)
    inputs = _inputs(name, given_options)
    changed = {key: PurePosixPath(INPUTS, path.name) for key, path in inputs.items()}
    options = given_options | changed | {"name": run, "address": "auto"}
    return Request(
        run=run,
        storage=str(settings["storage"]),
        arguments=(name, *_typed(command, options)),
        inputs={str(changed[key]): path for key, path in inputs.items()},
        fresh="name" not in settings,
    )


def _parsed(name: str, arguments: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """The command, and the parameters that were given, by name."""
    from launch.cli import app  # it imports this module's command

    group: Any = typer.main.get_command(app)
    command = group.commands[name]
    with group.make_context("autoshrink-ray", [name], resilient_parsing=True) as parent:
        context = command.make_context(name, list(arguments), parent=parent)
    given = {key: value for key, value in context.params.items() if not _is_absent(value)}
    return command, given


def _is_absent(value: Any) -> bool:
    return value is None or value is False or value in ((), [])


def _settings(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The command's configuration, every rule of it checked, as far as it was given."""
    if name == "search":
        from launch.search import configuration

        set_by_user = configuration(given).model_dump(exclude_unset=True)
        proxy = set_by_user.get("proxy", {})
        vectors = proxy.get("word_vectors")
        if vectors and "word_vectors" not in given and Path(vectors).expanduser().is_file():
            raise ConfigError(
                f"the configuration names the word vectors {vectors!r} of this machine: give them "
                f"as --word-vectors, then they travel with the job"
            )
        return {"storage": DEFAULT_STORAGE, "data_dir": proxy.get("data_dir"), **set_by_user}
    from launch import options

    settings = {"storage": DEFAULT_STORAGE, **given}
    settings["settings"] = options.recipe_settings(given)
    model: Any
    if name == "train":
        from trainables.final.config import TrainConfig

        model = TrainConfig
    else:
        from trainables.tuning.config import TuningConfig

        model = TuningConfig
    model.of({key: settings[key] for key in model.model_fields if key in settings})
    return settings


def _require_reachable(settings: Mapping[str, Any]) -> None:
    """Checks that what the driver reads and writes is there for it, whatever happens to the head.

    Raises:
        ConfigError: Naming the first location that is not.
    """
    for key in _LOCATIONS:
        location = settings.get(key)
        if location and not _is_lasting(str(location)):
            raise ConfigError(
                f"--{key.replace('_', '-')} of a job is a URI such as s3://bucket/runs, or an "
                f"absolute path that all nodes share, got {location!r}: a relative one would be "
                f"on the head's disk and lost with it"
            )
        if location and urlsplit(str(location)).password:
            raise ConfigError(
                f"--{key.replace('_', '-')} of a job has no password in it: the job's command is "
                f"shown to whoever may look at the cluster"
            )
    data, _, argument = str(settings.get("data") or "").partition(":")
    folders = {"--data": argument if data in _DATA_FOLDERS else ""}
    folders["--data-dir"] = str(settings.get("data_dir") or "")
    for option, folder in folders.items():
        if folder and not _is_lasting(folder) and Path(folder).expanduser().exists():
            raise ConfigError(
                f"{option} names the folder {folder!r} of this machine, and data do not travel "
                f"with a job: put them where the cluster's nodes have them, and give that path"
            )
    if settings.get("address") not in (None, "auto"):
        raise ConfigError(
            f"a job's driver joins the cluster that it is submitted to; got --address "
            f"{settings['address']!r} after `--`: give it before"
        )


def _is_lasting(location: str) -> bool:
    if location.startswith("sqlite:///"):
        return location.startswith("sqlite:////")
    return "://" in location or location.startswith("/")


def _fresh_name(command: str, settings: Mapping[str, Any]) -> str:
    from autoshrink_ray.run import fresh_name

    return fresh_name(str(settings.get("space", "cnn")) if command == "search" else command)


def _inputs(name: str, given: Mapping[str, Any]) -> dict[str, Path]:
    """Files of this machine that the command names, by parameter."""
    found = {}
    for key in _FILES[name]:
        path = Path(str(given.get(key) or "")).expanduser()
        if key in given and path.is_file():
            found[key] = path
        elif key in given and path.is_dir() and not path.is_absolute():
            raise ConfigError(
                f"{str(path)!r} is a folder of this machine, which the driver does not see: give "
                f"the file, or a URI or absolute path that the cluster's nodes have"
            )
    names = [path.name for path in found.values()]
    if len(names) > len(set(names)):
        raise ConfigError(
            f"files that travel with a job have different names, got {choices(names)}"
        )
    return found


def _typed(command: Any, values: Mapping[str, Any]) -> list[str]:
    """Parameters as they are typed: options first, then arguments."""
    options: list[str] = []
    arguments: list[str] = []
    for parameter in command.params:
        if parameter.name not in values:
            continue
        value = values[parameter.name]
        if parameter.param_type_name == "argument":
            arguments.append(str(value))
        elif value is True:
            options.append(parameter.opts[0])
        else:
            several = value if isinstance(value, list | tuple) else [value]
            options += [text for item in several for text in (parameter.opts[0], str(item))]
    return [*options, *(["--"] if any(a.startswith("-") for a in arguments) else []), *arguments]
