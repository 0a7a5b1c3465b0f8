"""A run's configuration: what decides its numbers, and how it is executed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from autoshrink_ray.errors import ConfigError, choices
from autoshrink_ray.files import NOT_YAML, explain, unwieldy
from autoshrink_ray.topology import MAX_NODES, MIN_NODES

DEFAULT_STORAGE = "runs"

EXECUTION = frozenset(
    {
        "address",
        "data",
        "executor",
        "granularity",
        "cache",
        "max_concurrent",
        "max_node_losses",
        "max_retries",
        "name",
        "plugins",
        "storage",
        "tensorboard",
        "trial_timeout",
    }
)
"""Fields that cannot change a number. Of `data` only the content's fingerprint can."""

_LEAST = 0.0001
"""Smallest share of a CPU or GPU that Ray accounts for."""

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""What a run's name looks like."""


class SearchConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything that a search can be told.

    None means: the default of the search space.

    Attributes:
        space: Search space: `cnn`, `rnn`, a registered name or `module:attribute`.
        algorithm: `shrink` (AutoShrink) or `random` (random sub-DAGs of the same space).
        policy: Rules of the shrinking; `paper` is the published method.
        nodes: Nodes of the cell, the input included.
        candidates: Edges tried in a round (k) of algorithm shrink.
        keep_fraction: Fraction of the complete cell's edges at which the search stops.
        budget: Evaluations of a random search.
        cost_weight: Score lost for a tenfold cost.
        seed: Seed of the first search; search m has seed + m.
        evaluation_seed: Seed of all trainings; None gives each search its own seed.
        searches: Independent searches in this run.
        data: Data set as NAME or NAME:ARGUMENT.
        macro: Settings of the network around the cell.
        proxy: Settings of the proxy training.
        cpus_per_trial: CPUs of a trial, and threads of its training.
        gpus_per_trial: GPUs of a trial; a fraction shares one.
        max_concurrent: Trials at once; None for as many as have resources. Executor `tune` only,
            like `max_retries`, `max_node_losses`, `trial_timeout` and `address`.
        granularity: `candidate` makes each evaluation a trial, `search` each search.
        max_retries: How often a candidate is tried again whose worker process was lost.
        max_node_losses: The same for a whole node that vanished; announced preemptions are free.
        trial_timeout: Seconds after which a training that does not end counts as a lost worker.
        cache: Folder or URI of measurements that runs share; None for no sharing.
        executor: `tune` runs on Ray; `in-process` runs here, one after the other.
        address: Ray cluster to join; None uses RAY_ADDRESS or starts a local one.
        storage: Folder or URI that holds the runs.
        name: Name of the run; None makes a fresh one.
        tensorboard: What TensorBoard gets to show: `full` is a stream for each candidate,
            `summary` one for the rounds' winners and the best 100, `off` nothing at all. None
            for `full` up to 300 candidates, then `summary`.
        plugins: Modules that register own spaces and data sets.
    """

    space: str = "cnn"
    algorithm: Literal["shrink", "random"] = "shrink"
    policy: Literal["paper"] = "paper"
    nodes: Annotated[int, Field(ge=MIN_NODES, le=MAX_NODES)] | None = None
    candidates: Annotated[int, Field(ge=1)] = 10
    keep_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    budget: Annotated[int, Field(ge=1)] | None = None
    cost_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    evaluation_seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    searches: Annotated[int, Field(ge=1, le=999)] = 1
    data: str | None = None
    macro: dict[str, Any] = {}
    proxy: dict[str, Any] = {}
    cpus_per_trial: Annotated[float, Field(ge=_LEAST, allow_inf_nan=False)] = 1
    gpus_per_trial: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    granularity: Literal["candidate", "search"] = "candidate"
    max_retries: Annotated[int, Field(ge=0)] = 3
    max_node_losses: Annotated[int, Field(ge=0)] = 20
    trial_timeout: Annotated[float, Field(gt=0, le=10_000_000)] | None = None
    cache: Annotated[str, Field(min_length=1)] | None = None
    executor: Literal["tune", "in-process"] = "tune"
    address: str | None = None
    storage: Annotated[str, Field(min_length=1)] = DEFAULT_STORAGE
    name: Annotated[str, Field(pattern=RUN_NAME)] | None = None
    tensorboard: Literal["summary", "full", "off"] | None = None
    plugins: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _options_fit_together(self) -> SearchConfig:
        if self.algorithm == "random":
            if self.budget is None:
                raise ValueError("algorithm random needs a budget: the number of evaluations")
            if self.keep_fraction is not None:
                raise ValueError("keep_fraction belongs to algorithm shrink, got algorithm random")
        elif self.budget is not None:
            raise ValueError("budget belongs to algorithm random, got algorithm shrink")
        if self.cache is not None and self.granularity == "search":
            raise ValueError("a cache needs granularity candidate, got search")
        if self.trial_timeout is not None and self.executor == "in-process":
            raise ValueError(
                "trial_timeout ends a trial's process, and executor in-process has none of its own"
            )
        for resource in ("cpus_per_trial", "gpus_per_trial"):
            amount = getattr(self, resource)
            if 0 < amount < _LEAST:
                raise ValueError(f"{resource} is 0 or at least {_LEAST}, got {amount}")
            if amount > 1 and amount != int(amount):
                raise ValueError(f"{resource} above 1 is a whole number, got {amount}")
        return self

    @model_validator(mode="after")
    def _holds_no_secret(self) -> SearchConfig:
        """The configuration is written into the run's folder."""
        for location in filter(None, (self.storage, self.cache)):
            refuse_credentials(location)
        return self

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> SearchConfig:
        """A configuration from plain settings.

        Raises:
            ConfigError: With each unknown key and each value that breaks a rule.
        """
        return validated(cls, settings)

    @classmethod
    def from_preset(cls, preset_name: str, /, **changes: Any) -> SearchConfig:
        """The preset called `preset_name` with `changes` on top.

        Raises:
            ConfigError: If there is no such preset, or a change breaks a rule.
        """
        return cls.of(merge(preset(preset_name), changes))


Options = TypeVar("Options", bound=BaseModel)


def validated(model: type[Options], settings: Mapping[str, Any]) -> Options:
    """A configuration from plain settings.

    Raises:
        ConfigError: With each unknown key, or each value that breaks a rule.
    """
    unknown = [str(key) for key in settings if key not in model.model_fields]
    if unknown:
        raise ConfigError(
            f"unknown configuration key {choices(unknown)}; "
            f"choose from {choices(sorted(model.model_fields))}"
        )
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(explain(error)) from error


def refuse_credentials(storage: str) -> None:
    """Raises ValueError if a storage URI holds credentials."""
    _, is_uri, rest = storage.partition("://")
    if is_uri and "@" in rest.partition("/")[0]:
        raise ValueError(
            "storage is a URI without credentials: they belong into the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://)"
        )


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of all layers, later ones winning; mappings are merged key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = merged.get(key)
            if isinstance(below, Mapping) and isinstance(value, Mapping):
                merged[key] = merge(below, value)
            else:
                merged[key] = value
    return merged


def preset_names() -> list[str]:
    """Names of the presets, sorted."""
    folder = resources.files("autoshrink_ray") / "presets"
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )


def preset(name: str) -> dict[str, Any]:
    """Settings of a preset: only what differs from the defaults.

    Raises:
        ConfigError: If there is no such preset.
    """
    if name not in preset_names():
        raise ConfigError(f"unknown preset {name!r}; choose one of {choices(preset_names())}")
    entry = resources.files("autoshrink_ray") / "presets" / f"{name}.yaml"
    return _parse(entry.read_text(), f"preset {name}")


def read_config(path: Path) -> dict[str, Any]:
    """Settings of a YAML file.

    Raises:
        ConfigError: If it cannot be read or is no mapping.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from error
    return _parse(text, str(path))


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(text)
    except NOT_YAML as error:
        raise ConfigError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from error
    if settings is None:
        return {}
    problem = unwieldy(settings)
    if problem:
        raise ConfigError(f"{name} is no configuration: {problem}")
    if not isinstance(settings, dict):
        raise ConfigError(f"{name} holds a mapping of settings, got {type(settings).__name__}")
    return settings
