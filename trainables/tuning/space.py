"""What a study varies: ranges and choices of settings, from the command line or a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import BaseModel, Field, ValidationError, model_validator

from autoshrink_ray.config import read_config
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.files import NOT_YAML, explain

_SPAN = re.compile(r"([^:,\[\]{}]*):([^:,\[\]{}]*)(?::([^:,\[\]{}]*))?")

FORMS = "LOW:HIGH, LOW:HIGH:log, LOW:HIGH:linear or a,b,c"
"""How a range is written on the command line."""

Label = str | int | float


class Span(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """All numbers from `low` to `high`, both included.

    Attributes:
        low: Least value.
        high: Largest value.
        log: Whether values are drawn evenly on a logarithmic scale; None follows the setting.
        whole: Whether only whole numbers count.
    """

    low: float
    high: float
    log: bool | None = None
    whole: bool = False

    @model_validator(mode="after")
    def _holds_numbers(self) -> Span:
        if self.low >= self.high:
            raise ValueError(f"low is below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range is above 0, got low {self.low:g}")
        if self.whole and (self.low != int(self.low) or self.high != int(self.high)):
            raise ValueError(
                f"the setting is a whole number, got {self.low:g} to {self.high:g}: give whole ends"
            )
        return self

    @property
    def ends(self) -> tuple[int | float, ...]:
        """Least and largest value."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    @property
    def distribution(self) -> BaseDistribution:
        """As Optuna knows it."""
        log = bool(self.log)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=log)
        return FloatDistribution(self.low, self.high, log=log)

    def value(self, label: Label) -> Any:
        """The setting behind what Optuna drew."""
        return label

    def __str__(self) -> str:
        whole = "whole, " if self.whole else ""
        scale = "log" if self.log else "linear"
        return f"{self.low:g} to {self.high:g} ({whole}{scale})"


class Choice(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """One of several values, without an order.

    Attributes:
        values: At least two different ones, as JSON knows them.
    """

    values: tuple[Any, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _are_different(self) -> Choice:
        if len(set(self.labels)) != len(self.values):
            raise ValueError(f"choices are different, got {', '.join(map(str, self.labels))}")
        return self

    @property
    def labels(self) -> tuple[Label, ...]:
        """The values as Optuna's storages take them: text where they are not plain."""
        return tuple(map(_label, self.values))

    @property
    def ends(self) -> tuple[Any, ...]:
        """All values."""
        return self.values

    @property
    def distribution(self) -> BaseDistribution:
        """As Optuna knows it."""
        return CategoricalDistribution(self.labels)

    def value(self, label: Label) -> Any:
        """The setting behind what Optuna drew."""
        return self.values[self.labels.index(label)]

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.labels))}"


Range = Span | Choice


def _label(value: Any) -> Label:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    try:
        return json.dumps(value)
    except TypeError as error:
        raise ValueError(
            f"choices are numbers, texts, true, false, null or lists of them, got {value}"
        ) from error


def parse_variations(texts: Iterable[str]) -> dict[str, Range]:
    """Ranges from `KEY=LOW:HIGH`, `KEY=LOW:HIGH:log` or `KEY=a,b,c`.

    Raises:
        ConfigError: If one has another form or holds nothing to choose from.
    """
    found: dict[str, Range] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not (key and equals and values.strip()):
            raise ConfigError(f"--vary is KEY={FORMS}; got {text!r}")
        if key in found:
            raise ConfigError(f"--vary gives each key once, got {key} twice")
        found[key] = _parse(key, values)
    return found


def _parse(key: str, text: str) -> Range:
    if matched := _SPAN.fullmatch(text.strip()):
        low, high, scale = matched.groups()
        if scale not in (None, "log", "linear"):
            raise ConfigError(f"{key}: a range is {FORMS}; got {text!r}")
        log = {None: None, "log": True, "linear": False}[scale]
        return as_range(key, {"low": low, "high": high, "log": log})
    try:
        values = yaml.safe_load(f"[{text}]")
    except NOT_YAML as error:
        raise ConfigError(f"{key}: a range is {FORMS}; got {text!r}") from error
    return as_range(key, values)


def read_space(path: Path) -> dict[str, Range]:
    """Ranges from a YAML file: `KEY: {low: 1, high: 2, log: true}` or `KEY: [a, b, c]`.

    Raises:
        ConfigError: If it cannot be read, holds no range or one that is not of these forms.
    """
    ranges = {str(key): as_range(str(key), entry) for key, entry in read_config(path).items()}
    if not ranges:
        raise ConfigError(f"{path} holds a mapping of keys to ranges, got none")
    return ranges


def as_range(key: str, entry: Any) -> Range:
    """A range from plain data: a list of choices, or a mapping with low, high and log.

    Raises:
        ConfigError: If it is neither, or holds nothing to choose from.
    """
    try:
        if isinstance(entry, list):
            return Choice(values=tuple(map(_number, entry)))
        if isinstance(entry, Mapping):
            return _span(key, entry)
    except ValidationError as error:
        raise ConfigError(f"{key}: {explain(error)}") from error
    raise ConfigError(f"{key}: a range is a list of choices, or low and high; got {entry!r}")


def _span(key: str, entry: Mapping[Any, Any]) -> Span:
    if "whole" in entry:
        raise ConfigError(
            f"{key}: a range is low, high and log, got whole, too: whether only whole numbers "
            f"count follows from the setting"
        )
    return Span.model_validate(entry)


def _number(value: Any) -> Any:
    """YAML takes 1e-3 for text."""
    if isinstance(value, list):
        return [_number(item) for item in value]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def plain(ranges: Mapping[str, Range]) -> dict[str, Any]:
    """The ranges as they are written into a study's record."""
    return {key: found.model_dump(mode="json") for key, found in sorted(ranges.items())}
