"""Names of spaces, proxy tasks and data sets, and where their code is.

Everything that is plugged in has a name; spaces and tasks may be given as `module:attribute`.
Names come from three places, the later one winning: ours, the entry points of installed
packages, and `register_space` / `register_dataset` calls (which `--plugin module` imports). What
travels to a worker is always `module:attribute`, because code that is uploaded to a cluster has
no entry points.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, cast

from autoshrink_ray.contracts import DataRequest, ProxyData, ProxyTask, SearchSpace
from autoshrink_ray.errors import ConfigError, choices


@dataclass
class _Registry:
    """Names of one kind of plug-in."""

    kind: str
    builtin: dict[str, str]
    group: str = ""
    by_reference: bool = True
    registered: dict[str, str] = field(default_factory=dict)

    def names(self) -> dict[str, str]:
        installed = {e.name: e.value for e in entry_points(group=self.group)} if self.group else {}
        return self.builtin | installed | self.registered

    def reference(self, name: str) -> str:
        """`module:attribute` behind `name`."""
        if name in (known := self.names()):
            return known[name]
        module, colon, attribute = name.partition(":")
        if self.by_reference and colon and module and attribute.isidentifier():
            return name
        otherwise = ", or give module:attribute" if self.by_reference else ""
        raise ConfigError(
            f"unknown {self.kind} {name!r}; choose one of {choices(sorted(known))}{otherwise}"
        )


_SPACES = _Registry(
    "search space",
    {"cnn": "search_spaces.cnn:SPACE", "rnn": "search_spaces.rnn:SPACE"},
    "autoshrink_ray.spaces",
)
_TASKS = _Registry("proxy task", {"image": "trainables.image:TASK", "text": "trainables.text:TASK"})
_DATASETS = _Registry(
    "data set",
    {
        name: f"trainables.data:{name.replace('-', '_')}"
        for name in (
            "digits",
            "cifar10",
            "fashion-mnist",
            "parquet",
            "imagefolder",
            "pydoc",
            "text",
        )
    },
    "autoshrink_ray.datasets",
    by_reference=False,  # a data spec has its argument behind the colon
)
_TRAINABLES = _Registry(
    "trainable",
    {
        "candidate": "trainables.candidate:CandidateTrainable",
        "search": "trainables.search:SearchTrainable",
    },
)


def register_space(name: str, reference: str) -> None:
    """Makes the search space at `reference` (`module:attribute`) known as `name`."""
    _SPACES.registered[name] = reference


def register_dataset(name: str, reference: str) -> None:
    """Makes the data set function at `reference` (`module:attribute`) known as `name`."""
    _DATASETS.registered[name] = reference


def load_plugin(module: str) -> None:
    """Imports a module that registers spaces or data sets.

    Raises:
        ConfigError: If there is no such module.
    """
    if not all(module.split(".")):
        raise ConfigError(
            f"a plug-in is an importable module such as package.module, got {module!r}"
        )
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(
            f"a plug-in is an importable module, got {module!r}: {error}; "
            f"add its folder to PYTHONPATH or install its package"
        ) from error


def load_attribute(reference: str) -> Any:
    """The object at `module:attribute`.

    Raises:
        ConfigError: If the module or the attribute does not exist.
    """
    module, _, attribute = reference.partition(":")
    load_plugin(module)
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ConfigError(f"module {module!r} has no attribute {attribute!r}") from error


def space_reference(name: str) -> str:
    """`module:attribute` of a search space."""
    return _SPACES.reference(name)


def task_reference(name: str) -> str:
    """`module:attribute` of a proxy task."""
    return _TASKS.reference(name)


def space(reference: str) -> SearchSpace:
    """The search space at `reference` (a name or `module:attribute`).

    Raises:
        ConfigError: If there is none, or what is there is no search space.
    """
    found = load_attribute(space_reference(reference))
    if not isinstance(found, SearchSpace):
        raise ConfigError(f"{reference!r} is no search space: see autoshrink_ray.SearchSpace")
    return found


def task(reference: str) -> ProxyTask:
    """The proxy task at `reference` (a name or `module:attribute`)."""
    return cast(ProxyTask, load_attribute(task_reference(reference)))


def dataset(name: str) -> Callable[[DataRequest], ProxyData]:
    """The data set function called `name`."""
    return cast(Callable[[DataRequest], ProxyData], load_attribute(_DATASETS.reference(name)))


def trainable(name: str) -> Any:
    """The Ray Tune trainable of a granularity: `candidate` or `search`."""
    return load_attribute(_TRAINABLES.reference(name))


def space_names() -> list[str]:
    """Names of all known search spaces, sorted."""
    return sorted(_SPACES.names())


def dataset_names() -> list[str]:
    """Names of all known data sets, sorted."""
    return sorted(_DATASETS.names())
