"""The widest network that a budget allows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoshrink_ray.contracts import ImageShape, Settings
from autoshrink_ray.errors import ConfigError, choices
from autoshrink_ray.files import CellFile
from search_spaces.cost import shortcut_slack
from search_spaces.derive import Derivation
from search_spaces.network import NetworkFile
from search_spaces.plan import CnnPlan

BUDGETS = ("macs", "params")
"""Costs that a budget can be given for."""


@dataclass(frozen=True)
class Knob:
    """A setting that makes networks wider, and the values that are tried for it.

    Attributes:
        field: Name of the setting.
        parts: Steps in one unit of the setting.
    """

    field: str
    parts: int

    def value(self, step: int) -> float:
        """Value of the setting after `step` steps from 0."""
        return step if self.parts == 1 else step / self.parts


KNOBS = (Knob("channel_scale", 10_000), Knob("hidden_size", 1))
"""Channel scales of up to four decimals, and whole hidden sizes."""


def fit(
    cell: CellFile,
    preset: str,
    *,
    cost: str,
    budget: int,
    macro: Mapping[str, Any] | None = None,
    input: Mapping[str, int] | None = None,
) -> NetworkFile:
    """The network that comes closest to a budget from below.

    Of image networks the channel scale is chosen, among those with up to four decimals, of
    language models the hidden size. Among equal networks the scale with the fewest decimals is
    taken. In a space of one's own, costs have to grow with the setting.

    Args:
        cell: The cell.
        preset: What stands around it, see `search_spaces.derive`.
        cost: What the budget is for: `macs` or `params`, as the network file states them.
        budget: Largest cost allowed.
        macro: Settings that differ from the preset's; without the one that is chosen here.
        input: What differs from the preset's input.

    Raises:
        ConfigError: If no network has that little or that much, with the reachable range; or
            for the reasons of `search_spaces.derive.derive`.
        TopologyError: If the cell's space does not have it.
    """
    if cost not in BUDGETS:
        raise ConfigError(f"a budget is for one of {choices(BUDGETS)}, got {cost!r}")
    derivation = Derivation.of(cell, preset, macro, input)
    knob = _knob(derivation)
    if knob.field in (macro or {}):
        raise ConfigError(
            f"a budget decides {knob.field}: give one of the two, got {knob.field} = "
            f"{(macro or {})[knob.field]} and at most {budget:,} {cost}"
        )
    curve = _Curve(derivation, knob, cost)
    chosen = curve.closest(budget)
    if chosen is None or budget > curve.largest:
        raise ConfigError(
            f"{cost} can be {curve.at(1).value:,} to {curve.largest:,} here, "
            f"{knob.field} {knob.value(1):g} to {knob.value(curve.steps):g}; got {budget:,}"
        )
    return derivation.network(curve.settings(curve.simplest(chosen)), budget={cost: budget})


def _knob(derivation: Derivation) -> Knob:
    fields = derivation.space.Macro.model_fields
    for knob in KNOBS:
        if knob.field in fields:
            return knob
    raise ConfigError(
        f"a budget needs a setting {' or '.join(knob.field for knob in KNOBS)}; "
        f"space {derivation.space.name!r} has {choices(fields)}"
    )


@dataclass(frozen=True)
class _Point:
    """Costs of one network; `least` and `most` enclose `value` and grow with the widths."""

    costs: Mapping[str, int]
    value: int
    least: int
    most: int


class _Curve:
    """A cost as a function of a knob: a step function, which may fall where shortcuts fit."""

    def __init__(self, derivation: Derivation, knob: Knob, cost: str) -> None:
        self._derivation, self._knob, self._cost = derivation, knob, cost
        self._points: dict[Any, _Point] = {}
        schema = derivation.space.Macro.model_json_schema()["properties"][knob.field]
        self.steps = int(schema["maximum"] * knob.parts)

    def settings(self, step: int) -> Settings:
        return self._derivation.macro.model_copy(update={self._knob.field: self._knob.value(step)})

    def at(self, step: int) -> _Point:
        """Neighbouring steps are mostly the same network, which is counted once."""
        network = self._network(step)
        if network not in self._points:
            self._points[network] = self._count(self.settings(step))
        return self._points[network]

    def _network(self, step: int) -> Any:
        return getattr(self.settings(step), "plan", step)

    def _count(self, settings: Settings) -> _Point:
        topology, shape = self._derivation.cell.topology, self._derivation.shape
        costs = self._derivation.space.cost(topology, settings, shape)
        value, plan = costs[self._cost], getattr(settings, "plan", None)
        if not (isinstance(plan, CnnPlan) and isinstance(shape, ImageShape)):
            return _Point(costs, value, value, value)
        paid, saved = (part.metrics[self._cost] for part in shortcut_slack(topology, plan, shape))
        return _Point(costs, value, value - paid, value + saved)

    def closest(self, budget: int) -> int | None:
        """Step of the largest cost that is at most `budget`, the last of equal ones."""
        steps = range(1, self.steps + 1)
        last = bisect_right(steps, budget, key=lambda step: self.at(step).least)
        best, value = None, 0
        for step in self._networks_from(last):
            point = self.at(step)
            if best is not None and point.most <= value:
                break
            if value < point.value <= budget:
                best, value = step, point.value
        return best

    def _networks_from(self, step: int) -> Iterator[int]:
        """The last step of each network, from `step` on downwards."""
        while step > 0:
            yield step
            network, below = self._network(step), range(1, step + 1)
            step = bisect_left(below, True, key=lambda other: self._network(other) == network)

    @property
    def largest(self) -> int:
        """The largest cost of all."""
        step = self.closest(self.at(self.steps).most)
        return self.at(step or self.steps).value

    def simplest(self, step: int) -> int:
        """The roundest step below `step` whose network costs the same."""
        costs, size = self.at(step).costs, self._knob.parts
        while size > 1:
            rounded = step // size * size
            if rounded and self.at(rounded).costs == costs:
                return rounded
            size //= 10
        return step
