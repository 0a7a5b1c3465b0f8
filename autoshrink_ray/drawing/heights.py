"""How high everything stands: edges as straight as the order in each layer lets them be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from autoshrink_ray.drawing.layers import Item, Layers

_ROUNDS = 24
_STRAIGHTENINGS = 6

_STRAIGHTNESS = (8.0, 1.0, 8.0)
"""Pull of a piece of an edge by the number of its ends that are bends."""


@dataclass(frozen=True)
class Pull:
    """A piece of an edge as seen from one end: where it would have that end.

    Attributes:
        item: The other end.
        offset: Where this end's piece is straight, relative to the other end's middle, in pixels.
        weight: How strongly it pulls.
    """

    item: Item
    offset: float
    weight: float


def heights(
    columns: list[list[Item]],
    layers: Layers,
    ports: Mapping[tuple[Item, Item], tuple[float, float]],
    apart: Callable[[Item, Item], float],
) -> dict[Item, float]:
    """The y of each item's middle, in pixels.

    Args:
        columns: Items of each layer, top to bottom.
        layers: The cell.
        ports: Where each piece of an edge starts and ends, relative to the middles of its ends.
        apart: Least distance of the middles of two items, the second right below the first.
    """
    pulls = _pulls(layers, ports)
    y = {item: height for column in columns for item, height in _stacked(column, apart)}
    for step in range(_ROUNDS):
        for column in columns if step % 2 == 0 else reversed(columns):
            _relax(column, y, pulls, apart)
    bounds = _Bounds(columns, y, apart)
    for _ in range(_STRAIGHTENINGS):
        _straighten(layers, y, pulls, bounds)
    return y


@dataclass(frozen=True)
class _Bounds:
    """Between what heights an item can move while all others stay."""

    columns: list[list[Item]]
    y: Mapping[Item, float]
    apart: Callable[[Item, Item], float]

    @cached_property
    def neighbours(self) -> dict[Item, tuple[Item | None, Item | None]]:
        """What stands right above and right below each item."""
        found: dict[Item, tuple[Item | None, Item | None]] = {}
        for column in self.columns:
            padded = [None, *column, None]
            for above, item, below in zip(padded, column, padded[2:], strict=False):
                found[item] = (above, below)
        return found

    def __call__(self, item: Item) -> tuple[float, float]:
        above, below = self.neighbours[item]
        least = -math.inf if above is None else self.y[above] + self.apart(above, item)
        most = math.inf if below is None else self.y[below] - self.apart(item, below)
        return least, most


def _straighten(
    layers: Layers, y: dict[Item, float], pulls: Mapping[Item, list[Pull]], bounds: _Bounds
) -> None:
    """Levels the bends of each edge as far as they can have one height; then moves the nodes."""
    for chain in sorted(layers.chains.values(), key=len):
        bends = list(chain[1:-1])
        while bends:
            run, least, most = _level_run(bends, bounds)
            outside = [p for i in run for p in pulls[i] if p.item not in run]
            wanted = sum(y[p.item] + p.offset for p in outside) / len(outside)
            y |= dict.fromkeys(run, min(max(wanted, least), most))
            bends = bends[len(run) :]
    for item in filter(layers.is_node, layers.layer):
        least, most = bounds(item)
        if pulls[item]:
            total = sum(pull.weight for pull in pulls[item])
            wanted = sum(pull.weight * (y[pull.item] + pull.offset) for pull in pulls[item]) / total
            y[item] = min(max(wanted, least), most)


def _level_run(bends: list[Item], bounds: _Bounds) -> tuple[list[Item], float, float]:
    """The first bends that fit on one height, and from where to where it can be."""
    least, most = bounds(bends[0])
    run = [bends[0]]
    for bend in bends[1:]:
        lower, upper = bounds(bend)
        if max(least, lower) > min(most, upper):
            break
        run.append(bend)
        least, most = max(least, lower), min(most, upper)
    return run, least, most


def _pulls(
    layers: Layers, ports: Mapping[tuple[Item, Item], tuple[float, float]]
) -> dict[Item, list[Pull]]:
    pulls: dict[Item, list[Pull]] = {item: [] for item in layers.layer}
    for (source, target), (start, end) in ports.items():
        weight = _STRAIGHTNESS[2 - layers.is_node(source) - layers.is_node(target)]
        pulls[source].append(Pull(target, end - start, weight))
        pulls[target].append(Pull(source, start - end, weight))
    return pulls


def _stacked(column: list[Item], apart: Callable[[Item, Item], float]) -> list[tuple[Item, float]]:
    """Closely below each other, the middle at 0."""
    places = [0.0]
    for upper, lower in itertools.pairwise(column):
        places.append(places[-1] + apart(upper, lower))
    return [(item, place - places[-1] / 2) for item, place in zip(column, places, strict=True)]


def _relax(
    column: list[Item],
    y: dict[Item, float],
    pulls: dict[Item, list[Pull]],
    apart: Callable[[Item, Item], float],
) -> None:
    """Moves one layer to where its edges pull it, by least squares, order and distances kept."""
    wanted, weights, shifts = [], [], [0.0]
    for item in column:
        weight = sum(pull.weight for pull in pulls[item])
        target = sum(pull.weight * (y[pull.item] + pull.offset) for pull in pulls[item])
        wanted.append(target / weight if weight else 0.0)
        weights.append(weight or 1.0)
    for upper, lower in itertools.pairwise(column):
        shifts.append(shifts[-1] + apart(upper, lower))
    free = [value - shift for value, shift in zip(wanted, shifts, strict=True)]
    for item, value, shift in zip(column, isotonic(free, weights), shifts, strict=True):
        y[item] = value + shift


def isotonic(values: list[float], weights: list[float]) -> list[float]:
    """The closest sequence, by weighted least squares, that nowhere falls.

    Pool adjacent violators (Barlow et al., 1972).
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        count = 1
        while pools and pools[-1][0] > value:
            other, heavy, many = pools.pop()
            value = (value * weight + other * heavy) / (weight + heavy)
            weight, count = weight + heavy, count + many
        pools.append((value, weight, count))
    return [value for value, _, count in pools for _ in range(count)]
