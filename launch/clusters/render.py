"""Cluster files from answers."""

from __future__ import annotations

import json
import shlex
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from launch.clusters.answers import RAY, Answers

_DEFAULTS = {
    "cluster.yaml": Answers(provider="aws"),
    "launch/kuberay/raycluster.yaml": Answers(provider="kuberay", spot=False),
    "launch/kuberay/rayjob.yaml": Answers(provider="kuberay", spot=False, job=True),
}


def shipped() -> dict[str, str]:
    """The files of the repository and what they hold: default answers, written out."""
    return {path: render(answers) for path, answers in _DEFAULTS.items()}


def render(answers: Answers) -> str:
    """A cluster file as YAML with comments that say why."""
    kind = "rayjob" if answers.job else "raycluster"
    template = "cluster.yaml.j2" if answers.provider == "aws" else f"{kind}.yaml.j2"
    return (
        _environment()
        .get_template(template)
        .render(a=answers, m=answers.machine, ray=RAY, entrypoint=_entrypoint(answers))
    )


def _entrypoint(answers: Answers) -> str:
    """The search of a job; a shell splits it."""
    return shlex.join(
        [
            *("autoshrink-ray", "search", "--preset", "paper-cnn", "--address", "auto"),
            *("--name", answers.name, "--storage", answers.storage),
            *("--cpus-per-trial", f"{answers.cpus_per_trial:g}"),
            *("--gpus-per-trial", f"{answers.gpus_per_trial:g}"),
        ]
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("launch.clusters"),
        autoescape=False,  # noqa: S701 - YAML, not HTML; every value goes through `q`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # A JSON string is a YAML string in double quotes: no value can end it and begin a key.
    environment.filters["q"] = lambda value: json.dumps(str(value))
    return environment
