"""Who stands above whom in each layer, so that few edges cross."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autoshrink_ray.drawing.layers import Item, Layers
from autoshrink_ray.topology import Edge

Columns = list[list[Item]]
Neighbours = dict[Item, list[Item]]

_SWEEPS = 6
_SMALL = 7
"""Layers of at most so many items are ordered exactly between their neighbours."""


def orders(layers: Layers) -> Iterator[Columns]:
    """Orders worth drawing, top to bottom, improved from different starts."""
    before, after = _neighbours(layers)
    for side in _SIDES:
        yield _improved(_start(layers, side), layers, before, after)


def crossings(columns: Columns, layers: Layers) -> int:
    """Pairs of edges that cross between two layers."""
    place = _places(columns)
    gaps: list[list[tuple[int, int]]] = [[] for _ in columns]
    for source, target in layers.segments:
        gaps[layers.layer[source]].append((place[source], place[target]))
    return sum(_inversions([end for _, end in sorted(gap)]) for gap in gaps)


def _inversions(ends: list[int]) -> int:
    return sum(a > b for index, a in enumerate(ends) for b in ends[index + 1 :])


def _neighbours(layers: Layers) -> tuple[Neighbours, Neighbours]:
    before: Neighbours = {item: [] for item in layers.layer}
    after: Neighbours = {item: [] for item in layers.layer}
    for source, target in layers.segments:
        after[source].append(target)
        before[target].append(source)
    return before, after


def _by_classes(edge: Edge, last: int) -> int:
    """Parallel classes of a regular polygon's diagonals, half of them on each side.

    This draws the complete cell with the fewest crossings known (Blazek and Koman, 1964).
    """
    return 1 if (edge[0] + edge[1]) % (last + 1) <= last // 2 else -1


_SIDES: tuple[Callable[[Edge, int], int], ...] = (
    _by_classes,
    lambda edge, last: 1 if edge[0] % 2 else -1,
    lambda edge, last: 1,
    lambda edge, last: -1,
)
"""Ways to send long edges above (-1) or below (1) the nodes, by layers of their ends."""


def _start(layers: Layers, side: Callable[[Edge, int], int]) -> Columns:
    """Nodes in the middle, long edges outside of short ones."""
    last = max(layers.layer.values())
    key: dict[Item, tuple[float, float]] = {}
    for (source, target), chain in layers.chains.items():
        ends = layers.layer[source], layers.layer[target]
        for bend in chain[1:-1]:
            key[bend] = (side(ends, last) * (ends[1] - ends[0]), ends[0])
    return [sorted(column, key=lambda item: key.get(item, (0, 0))) for column in layers.columns]


def _improved(columns: Columns, layers: Layers, before: Neighbours, after: Neighbours) -> Columns:
    """Median sweeps and exact orders of small layers; the best of what they pass."""
    best = current = _settled(columns, before, after)
    fewest = crossings(best, layers)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        forwards = sweep % 2 == 0
        swept = _swept(current, before if forwards else after, forwards)
        current = _settled(swept, before, after)
        if (count := crossings(current, layers)) < fewest:
            best, fewest = current, count
    return best


def _swept(columns: Columns, neighbours: Neighbours, forwards: bool) -> Columns:
    """Each layer sorted by the median place of its neighbours in the layer before it."""
    swept = [list(column) for column in columns]
    for column in swept if forwards else reversed(swept):
        place = _places(swept)
        median = {
            item: _median([place[n] for n in neighbours[item]], place[item]) for item in column
        }
        column.sort(key=median.__getitem__)
    return swept


def _median(places: list[int], otherwise: int) -> float:
    if not places:
        return otherwise
    ordered = sorted(places)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _settled(columns: Columns, before: Neighbours, after: Neighbours) -> Columns:
    """Layers reordered one at a time until none gives fewer crossings."""
    settled = [list(column) for column in columns]
    better = True
    while better:
        better = False
        place = _places(settled)
        for column in settled:
            costs = _pair_costs(column, place, before, after)
            held = _cost(column, costs)
            found = _reordered(column, costs) if held > _least(costs) else column
            if _cost(found, costs) < held:
                column[:] = found
                place |= {item: index for index, item in enumerate(column)}
                better = True
    return settled


Costs = dict[tuple[Item, Item], int]
"""Crossings of two items' edges if the first stands above the second."""


def _pair_costs(
    column: list[Item], place: dict[Item, int], before: Neighbours, after: Neighbours
) -> Costs:
    return {
        (upper, lower): sum(
            place[a] > place[b]
            for side in (before, after)
            for a in side[upper]
            for b in side[lower]
        )
        for upper in column
        for lower in column
        if upper != lower
    }


def _least(costs: Costs) -> int:
    """What no order of the layer can go below."""
    return sum(min(cost, costs[lower, upper]) for (upper, lower), cost in costs.items()) // 2


def _reordered(column: list[Item], costs: Costs) -> list[Item]:
    return _exact(column, costs) if len(column) <= _SMALL else _exchanged(column, costs)


def _cost(column: list[Item], costs: Costs) -> int:
    return sum(costs[a, b] for index, a in enumerate(column) for b in column[index + 1 :])


def _exact(column: list[Item], costs: Costs) -> list[Item]:
    """The best order, found over all subsets that can stand on top."""
    best: dict[int, tuple[int, list[Item]]] = {0: (0, [])}
    for subset in range(1, 1 << len(column)):
        options = []
        for index, item in enumerate(column):
            if subset >> index & 1:
                cost, order = best[subset ^ (1 << index)]
                options.append((cost + sum(costs[above, item] for above in order), -index, order))
        cost, index, order = min(options, key=lambda option: option[:2])
        best[subset] = (cost, [*order, column[-index]])
    return best[(1 << len(column)) - 1][1]


def _exchanged(column: list[Item], costs: Costs) -> list[Item]:
    """Neighbours exchanged as long as that gives fewer crossings."""
    order, better = list(column), True
    while better:
        better = False
        for index in range(len(order) - 1):
            upper, lower = order[index : index + 2]
            if costs[lower, upper] < costs[upper, lower]:
                order[index : index + 2] = lower, upper
                better = True
    return order


def _places(columns: Columns) -> dict[Item, int]:
    return {item: index for column in columns for index, item in enumerate(column)}
