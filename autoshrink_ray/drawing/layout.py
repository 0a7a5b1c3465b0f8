"""Where the nodes and edges of a cell are drawn: a pure function of its topology.

Layers from left to right by the longest path from the input. An edge that skips layers bends in
each of them, on a lane of its own above or below the nodes there; between two layers there are no
nodes, so no edge can run through a node that it does not touch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from autoshrink_ray.drawing.heights import heights
from autoshrink_ray.drawing.layers import Item, Layers
from autoshrink_ray.drawing.ordering import Columns, crossings, orders
from autoshrink_ray.topology import Edge, Topology

Point = tuple[float, float]
Ports = dict[tuple[Item, Item], tuple[float, float]]

NODE_HEIGHT = 38.0
PORT_DISTANCE = 9.5
LANE_DISTANCE = 12.0
_NODE_DISTANCE = 22.0
_CLEARANCE = 7.0
"""Least distance of an edge from a node that it passes; all of these in pixels."""

_LEAST_GAP, _WIDEST_GAP, _STEEPNESS = 52.0, 120.0, 0.75
_SOFTENINGS = 8


@dataclass(frozen=True)
class Box:
    """Where a node is drawn, in pixels; y grows downwards.

    Attributes:
        x: Its middle from the left.
        y: Its middle from the top.
        width: Width.
        height: Height; it grows with the edges on one side.
        layer: Its layer, from 0.
    """

    x: float
    y: float
    width: float
    height: float
    layer: int


@dataclass(frozen=True)
class Layout:
    """A cell with places.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        boxes: Each node that the input reaches.
        routes: Each edge as the control points of joined cubic Bezier curves, 3 n + 1 of them,
            from the right side of its source to the left side of its target; x never falls.
        crossings: Pairs of edges that cross.
    """

    width: float
    height: float
    boxes: Mapping[int, Box]
    routes: Mapping[Edge, tuple[Point, ...]]
    crossings: int


@lru_cache(maxsize=256)
def layout(topology: Topology, node_width: float = 64.0) -> Layout:
    """Places nodes and edges, from left to right.

    Args:
        topology: The cell; what its input does not reach is left out.
        node_width: Width of each node in pixels.
    """
    layers = Layers.of(topology)
    drawings = [_Drawing.of(layers, columns) for columns in orders(layers)]
    best = min(drawings, key=lambda drawing: (drawing.crossings, round(drawing.unrest)))
    return best.layout(node_width)


@dataclass(frozen=True)
class _Drawing:
    """One order of a cell's layers, with heights."""

    layers: Layers
    columns: Columns
    sizes: dict[Item, float]
    ports: Ports
    y: dict[Item, float]

    @classmethod
    def of(cls, layers: Layers, columns: Columns) -> _Drawing:
        sizes = _sizes(layers)
        ports = _ports(layers, columns)

        def apart(upper: Item, lower: Item) -> float:
            if layers.is_node(upper) and layers.is_node(lower):
                return (sizes[upper] + sizes[lower]) / 2 + _NODE_DISTANCE
            return (sizes[upper] + sizes[lower]) / 2 + LANE_DISTANCE

        return cls(layers, columns, sizes, ports, heights(columns, layers, ports, apart))

    @property
    def crossings(self) -> int:
        return crossings(self.columns, self.layers)

    @property
    def unrest(self) -> float:
        """Pixels that all edges rise or fall."""
        return sum(abs(self._rise(segment)) for segment in self.ports)

    def _rise(self, segment: tuple[Item, Item]) -> float:
        (source, target), (start, end) = segment, self.ports[segment]
        return self.y[target] + end - self.y[source] - start

    def layout(self, node_width: float) -> Layout:
        x = self._columns_x(node_width)
        slopes = self._slopes(node_width)
        routes = {edge: self._route(edge, x, slopes, node_width) for edge in self.layers.chains}
        tops, bottoms = self._extent(routes.values())
        boxes = {
            node: Box(x[place], self.y[node] - tops, node_width, self.sizes[node], place)
            for node, place in self.layers.layer.items()
            if self.layers.is_node(node)
        }
        moved = {e: tuple((px, py - tops) for px, py in route) for e, route in routes.items()}
        return Layout(x[-1] + node_width / 2, bottoms - tops, boxes, moved, self.crossings)

    def _columns_x(self, node_width: float) -> list[float]:
        """Middle of each layer; the more edges rise between two, the farther they are apart."""
        rises = [0.0] * len(self.columns)
        for segment in self.ports:
            place = self.layers.layer[segment[1]]
            rises[place] = max(rises[place], abs(self._rise(segment)))
        gaps = [min(max(_LEAST_GAP, _STEEPNESS * rise), _WIDEST_GAP) for rise in rises[1:]]
        return list(
            itertools.accumulate((gap + node_width for gap in gaps), initial=node_width / 2)
        )

    def _slopes(self, node_width: float) -> dict[Item, float]:
        """Rise per pixel with which an edge passes a layer: it misses nodes and other edges."""
        slopes: dict[Item, float] = {}
        for chain in self.layers.chains.values():
            for before, bend, after in zip(chain, chain[1:], chain[2:], strict=False):
                rises = self._rise((before, bend)), self._rise((bend, after))
                wanted = min(rises, key=abs) if rises[0] * rises[1] > 0 else 0.0
                most = self._room(bend) / (node_width / 2)
                slope = wanted / (node_width + _LEAST_GAP)
                slopes[bend] = max(-most, min(most, slope))
        for _ in range(_SOFTENINGS):
            self._soften(slopes, node_width / 2)
        return slopes

    def _soften(self, slopes: dict[Item, float], half: float) -> None:
        """Less slope for neighbouring bends that would meet within their layer."""
        for column in self.columns:
            for upper, lower in itertools.pairwise(item for item in column if item in slopes):
                room = self.y[lower] - self.y[upper] - LANE_DISTANCE / 2
                meeting = abs(slopes[upper] - slopes[lower]) * half
                if meeting > room:
                    slopes[upper] *= room / meeting
                    slopes[lower] *= room / meeting

    def _room(self, bend: Item) -> float:
        """Pixels by which an edge may rise or fall while it passes the nodes of a layer."""
        column = self.columns[self.layers.layer[bend]]
        nodes = [item for item in column if self.layers.is_node(item)]
        gaps = [abs(self.y[bend] - self.y[node]) - self.sizes[node] / 2 for node in nodes]
        return max(min(gaps) - _CLEARANCE, 0.0)

    def _route(
        self, edge: Edge, x: list[float], slopes: Mapping[Item, float], width: float
    ) -> tuple[Point, ...]:
        chain, half = self.layers.chains[edge], width / 2
        points: list[Point] = []
        for source, target in itertools.pairwise(chain):
            start, end = self.ports[source, target]
            rise, fall = slopes.get(source, 0.0), slopes.get(target, 0.0)
            place = self.layers.layer[source]
            left = (x[place] + half, self.y[source] + start + rise * half)
            right = (x[place + 1] - half, self.y[target] + end - fall * half)
            points += _line(points[-1], left) if points else [left]
            points += _swing(left, right, rise, fall)
        return tuple((round(px, 2), round(py, 2)) for px, py in points)

    def _extent(self, routes: Iterable[tuple[Point, ...]]) -> tuple[float, float]:
        """Top and bottom of everything that is drawn."""
        ys = [y for route in routes for _, y in route]
        for node, size in self.sizes.items():
            ys += [self.y[node] - size / 2, self.y[node] + size / 2]
        return min(ys), max(ys)


def _line(start: Point, end: Point) -> list[Point]:
    """A straight piece after `start`."""
    (x, y), across, down = start, end[0] - start[0], end[1] - start[1]
    return [(x + across / 3, y + down / 3), (end[0] - across / 3, end[1] - down / 3), end]


def _swing(start: Point, end: Point, rise: float, fall: float) -> list[Point]:
    """A curve after `start` that leaves and arrives with the given slopes."""
    reach = (end[0] - start[0]) / 2
    return [
        (start[0] + reach, start[1] + rise * reach),
        (end[0] - reach, end[1] - fall * reach),
        end,
    ]


def _sizes(layers: Layers) -> dict[Item, float]:
    """Heights: a node has room for its edges, a bend has none."""
    ends = [*(("out", e[0]) for e in layers.chains), *(("in", e[1]) for e in layers.chains)]
    sizes = dict.fromkeys(layers.layer, 0.0)
    for item in filter(layers.is_node, layers.layer):
        most = max(ends.count(("out", item)), ends.count(("in", item)))
        sizes[item] = max(NODE_HEIGHT, most * PORT_DISTANCE + 6)
    return sizes


def _ports(layers: Layers, columns: Columns) -> Ports:
    """Where each piece starts and ends beside the middle of its items: no two in one place."""
    place = {item: index for column in columns for index, item in enumerate(column)}
    starts: dict[Item, list[Item]] = {}
    ends: dict[Item, list[Item]] = {}
    for source, target in layers.segments:
        starts.setdefault(source, []).append(target)
        ends.setdefault(target, []).append(source)
    spread: dict[tuple[Item, Item], list[float]] = {pair: [0.0, 0.0] for pair in layers.segments}
    for item, others in starts.items():
        for other, offset in _spread(others, place):
            spread[item, other][0] = offset
    for item, others in ends.items():
        for other, offset in _spread(others, place):
            spread[other, item][1] = offset
    return {pair: (start, end) for pair, (start, end) in spread.items()}


def _spread(others: list[Item], place: Mapping[Item, int]) -> list[tuple[Item, float]]:
    ordered = sorted(others, key=place.__getitem__)
    middle = (len(ordered) - 1) / 2
    return [(other, (index - middle) * PORT_DISTANCE) for index, other in enumerate(ordered)]
