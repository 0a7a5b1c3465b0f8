"""What is tuned: a network and its recipe, and the ranges that make sense around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from autoshrink_ray import plugins
from autoshrink_ray.errors import ConfigError, UsageError, choices
from autoshrink_ray.files import explain
from search_spaces.network import NetworkFile, macro_settings
from trainables.final.recipes import Recipe, recipe
from trainables.tuning.space import Choice, Range, Span

_READ_ONCE = (
    "train_per_class",
    "valid_per_class",
    "image_size",
    "stream",
    "shuffle_window",
    "max_bad_fraction",
    "mean",
    "std",
)

_MEASURED_ALIKE = ("valid_batch_size", "test_batch_size")

_FIXED = {
    "epochs": "--epochs sets it for all trials",
    "rollbacks": "trials keep no checkpoints",
    **dict.fromkeys(_READ_ONCE, "the data are read once for all trials; --set sets it for all"),
    **dict.fromkeys(_MEASURED_ALIKE, "trials are measured alike; --set sets it for all"),
}
"""Recipe settings that cannot differ from trial to trial, and why."""


@dataclass(frozen=True)
class Variant:
    """One network with one recipe: what a trial trains."""

    network: NetworkFile
    recipe: Recipe


@dataclass(frozen=True)
class Subject:
    """What all trials of a study have in common.

    Attributes:
        network: The network whose settings are varied.
        kind: Class of its recipes.
        recipe_name: Recipe that is varied.
        changes: Settings that differ from that recipe in all trials.
    """

    network: NetworkFile
    kind: type[Recipe]
    recipe_name: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The recipe that is varied.

        Raises:
            ConfigError: If it does not exist or a setting breaks a rule.
        """
        return recipe(self.kind, self.recipe_name, self.changes)

    def settings(self) -> dict[str, Any]:
        """Everything that can be varied, by key, with the subject's own values."""
        macro = self.network.macro_settings.model_dump()
        rest = self.recipe.model_dump(exclude=set(_FIXED))
        return {f"macro.{key}": value for key, value in macro.items()} | {
            f"recipe.{key}": value for key, value in rest.items()
        }

    def variant(self, settings: Mapping[str, Any]) -> Variant:
        """The subject with other settings.

        Args:
            settings: Values by key, `macro.KEY` or `recipe.KEY`.

        Raises:
            UsageError: If a value breaks a rule, or the space does not have such a network.
        """
        network = self.network
        if changed := _part(settings, "macro"):
            space = plugins.space(network.space)
            macro = macro_settings(space, {**network.macro, **changed})
            network = NetworkFile.of(
                network.space,
                network.topology,
                macro,
                network.shape,
                recipe=self.recipe_name,
                provenance=network.provenance,
            )
        changes = {**self.changes, **_part(settings, "recipe")}
        return Variant(network, recipe(self.kind, self.recipe_name, changes))

    def fitted(self, ranges: Mapping[str, Range]) -> dict[str, Range]:
        """The ranges, each checked against the setting that it is for.

        Raises:
            ConfigError: If a key is unknown, a setting is no number where the range is of
                numbers, or the settings at an end of a range cannot be.
        """
        own = self.settings()
        fitted = {key: _fit(key, found, own) for key, found in ranges.items()}
        for key, found in fitted.items():
            for end in found.ends:
                self._require_possible({key: end}, f"{key} = {end}")
        for place, name in ((0, "all lowest values"), (-1, "all highest values")):
            together = {key: found.ends[place] for key, found in fitted.items()}
            self._require_possible(together, name)
        return fitted

    def _require_possible(self, settings: Mapping[str, Any], name: str) -> None:
        try:
            self.variant(settings)
        except UsageError as error:
            raise ConfigError(f"the ranges allow {name}: {error}") from error

    def default_ranges(self) -> dict[str, Range]:
        """Ranges around the subject's own values, of the settings that it has.

        A recipe setting that `changes` gives is meant to stay, and is left out.
        """
        own = self.settings()
        if own.get("macro.replicate", ()) is None:
            own["macro.replicate"] = (1,) * len(own["macro.scale"])
        varied = _DEFAULTS.keys() & own.keys() - {f"recipe.{key}" for key in self.changes}
        found = {key: rule(own[key]) for key, rule in _DEFAULTS.items() if key in varied}
        return {key: chosen for key, chosen in found.items() if chosen is not None}


def _part(settings: Mapping[str, Any], section: str) -> dict[str, Any]:
    prefix = f"{section}."
    return {
        key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)
    }


def _fit(key: str, found: Range, own: Mapping[str, Any]) -> Range:
    section, _, name = key.partition(".")
    if section == "recipe" and name in _FIXED:
        raise ConfigError(f"{key} cannot be varied: {_FIXED[name]}")
    if key not in own:
        raise ConfigError(f"unknown key {key!r} to vary; choose from {choices(own)}")
    if isinstance(found, Choice):
        return found
    value = own[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(
            f"{key} is {value!r} in the network or recipe, which is no number: give choices "
            f"instead of a range, as a,b,c or [1,1],[2,2]"
        )
    log = found.log if found.log is not None else key in _LOGARITHMIC and found.low > 0
    try:
        return Span(low=found.low, high=found.high, log=log, whole=isinstance(value, int))
    except ValidationError as error:
        raise ConfigError(f"{key}: {explain(error)}") from error


def _times(low: float, high: float, *, whole: bool = False) -> Callable[[Any], Range | None]:
    """From `low` to `high` times the own value, logarithmic; none around 0."""

    def rule(own: Any) -> Range | None:
        if not own:
            return None
        ends = (max(1, round(own * low)), round(own * high)) if whole else (own * low, own * high)
        return Span(low=ends[0], high=ends[1], log=True) if ends[0] < ends[1] else None

    return rule


def _between(low: float, high: float) -> Callable[[Any], Range | None]:
    return lambda own: Span(low=low, high=high)


def _multiples(own: Any) -> Range | None:
    """One half, once and twice the own numbers of cells, at least one each."""
    scaled = (tuple(max(1, round(cells * factor)) for cells in own) for factor in (0.5, 1, 2))
    different = tuple(dict.fromkeys(scaled))
    return Choice(values=different) if len(different) > 1 else None


_DEFAULTS: dict[str, Callable[[Any], Range | None]] = {
    "macro.channel_scale": _times(0.5, 2),
    "macro.replicate": _multiples,
    "macro.hidden_size": _times(0.5, 1.5, whole=True),
    "macro.dropout_embedding": _between(0, 0.5),
    "macro.dropout_input": _between(0, 0.8),
    "macro.dropout_hidden": _between(0, 0.5),
    "macro.dropout_output": _between(0, 0.8),
    "recipe.learning_rate": _times(0.25, 2.5),
    "recipe.l2": _times(0.1, 10),
    "recipe.label_smoothing": _between(0, 0.2),
    "recipe.weight_decay": _times(0.1, 10),
    "recipe.temporal_regularisation": _times(0.1, 10),
}

_LOGARITHMIC = {
    "macro.channel_scale",
    "macro.hidden_size",
    "recipe.learning_rate",
    "recipe.l2",
    "recipe.weight_decay",
    "recipe.temporal_regularisation",
}
"""Settings whose ranges are logarithmic unless they say otherwise."""
