"""The picture of a cell: nodes by operation, outputs marked, and what a round tried and removed."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from autoshrink_ray.drawing import colours
from autoshrink_ray.drawing.layout import Box as NodeBox
from autoshrink_ray.drawing.layout import Layout, layout
from autoshrink_ray.drawing.legend import (
    ROW,
    Entry,
    box_entry,
    edge_line,
    legend,
    line_entry,
    scale_entry,
)
from autoshrink_ray.drawing.picture import Picture
from autoshrink_ray.drawing.scene import (
    Box,
    Curve,
    Placement,
    Point,
    Polygon,
    Shape,
    Text,
    arrow_head,
    on_curve,
    text_width,
)
from autoshrink_ray.errors import TopologyError, choices
from autoshrink_ray.topology import Edge, Topology

_MARGIN, _TITLE, _RING = 20.0, 30.0, 4.0
_LABEL, _SMALL, _HEADING = 12.0, 9.5, 14.0
_LONGEST = 12
"""Characters of an operation's label; the rest is cut."""

_LEAST_WIDTH, _LEAST_LABEL = 240.0, 44.0
_HEAD = 7.0
_DASH = (6.0, 4.0)


def cell_picture(
    topology: Topology,
    *,
    removed: Edge | None = None,
    values: Mapping[Edge, float] | None = None,
    title: str = "",
) -> Picture:
    """A cell from left to right; what its input does not reach is left out.

    Args:
        topology: The cell; of a round, the parent.
        removed: Edge that goes: dashed, with a cross.
        values: Score of each edge that was tried: those edges are coloured by it, others faint.
        title: Heading of the picture; none by default.

    Raises:
        TopologyError: If an edge is not one of the cell's, or a value is not finite.
    """
    pruned = topology.pruned()
    scores = dict(values or {})
    _check(pruned, removed, scores)
    return _Cell(pruned, removed, scores, title).picture()


def short(operation: str) -> str:
    """An operation's label: `sep3x3` becomes `sep 3x3`, a long name is cut."""
    text = re.sub(r"^([A-Za-z]{2,}?)_?(?=\d)", r"\1 ", operation)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _check(topology: Topology, removed: Edge | None, values: Mapping[Edge, float]) -> None:
    named = [*values, removed] if removed is not None else [*values]
    for edge in named:
        if edge not in topology.edges:
            raise TopologyError(
                f"an edge that is marked is one of the cell's {choices(topology.edges)}, got {edge}"
            )
    for edge, value in values.items():
        if not math.isfinite(value):
            raise TopologyError(f"the value of an edge is finite, got {value} for {edge}")


@dataclass(frozen=True)
class _Cell:
    """One picture in the making."""

    topology: Topology
    removed: Edge | None
    values: Mapping[Edge, float]
    title: str

    @cached_property
    def layout(self) -> Layout:
        labels = [short(self.topology.ops[node]) for node in self.topology.reachable - {0}]
        widest = max([_LEAST_LABEL, *(text_width(label, _LABEL) for label in labels)])
        return layout(self.topology, round(widest) + 16.0)

    @cached_property
    def tones(self) -> Mapping[str, colours.Tone]:
        return colours.tones(self.topology.ops[1:])

    def picture(self) -> Picture:
        heading = _TITLE if self.title else 0.0
        needed = max(self.layout.width, text_width(self.title, _HEADING), _LEAST_WIDTH)
        width = math.ceil(needed + 2 * _MARGIN)
        key, rows = legend(list(self._legend()), width - 2 * _MARGIN)
        below = _MARGIN + heading + self.layout.height + 16
        height = math.ceil(below + rows * ROW + _MARGIN / 2)
        middle = Placement(1, (width - self.layout.width) / 2, _MARGIN + heading)
        paper = Box((0.5, 0.5), width - 1, height - 1, 8, colours.PAPER, colours.FRAME, 1, "paper")
        shapes = [
            paper,
            *self._heading(),
            *(shape.placed(middle) for shape in self._graph()),
            *(shape.placed(Placement(1, _MARGIN, below)) for shape in key),
        ]
        return Picture(width, height, self._name(), self._words(), tuple(shapes))

    def _heading(self) -> Iterator[Shape]:
        if self.title:
            at = (_MARGIN, _MARGIN + _HEADING / 2)
            yield Text(at, self.title, _HEADING, colours.INK, role="heading")

    def _graph(self) -> Iterator[Shape]:
        for edge in sorted(self.topology.edges, key=self._rank):
            yield from self._edge(edge)
        for node, box in self.layout.boxes.items():
            yield from self._node(node, box)
        if self.removed is not None:
            yield from _cross(_middle(self.layout.routes[self.removed]))

    def _rank(self, edge: Edge) -> tuple[bool, bool]:
        """What is drawn later is in front."""
        return edge == self.removed, edge in self.values

    def _edge(self, edge: Edge) -> Iterator[Shape]:
        """A line with paper on both sides, so that it passes visibly over those it crosses."""
        colour, line = self._look(edge)
        *points, before, end = self.layout.routes[edge]
        gap = _RING + 1 if edge[1] in self.topology.leaves else 1.0
        tip = (end[0] - gap, end[1])
        stop = (tip[0] - _HEAD + 1, tip[1])
        shortened = (*points, (before[0] - gap - _HEAD, before[1]), stop)
        dash = _DASH if edge == self.removed else None
        yield Curve(shortened, colours.PAPER, line + 3.6, role="halo")
        yield Curve(shortened, colour, line, dash, "edge", self._tip(edge))
        yield Polygon(arrow_head(tip, _HEAD, 6.4), colour, "arrow")

    def _look(self, edge: Edge) -> tuple[str, float]:
        """Colour and width of an edge's line."""
        if edge == self.removed:
            return colours.REMOVED, 2.2
        if edge in self.values:
            low, high = min(self.values.values()), max(self.values.values())
            part = (self.values[edge] - low) / (high - low) if high > low else 1.0
            return colours.on_scale(part), 2.4
        if self.values:
            return colours.FAINT, 1.2
        return (self._tone(edge[0]).line if edge[0] else colours.INPUT), 1.5

    def _tone(self, node: int) -> colours.Tone:
        return self.tones[self.topology.ops[node]]

    def _node(self, node: int, box: NodeBox) -> Iterator[Shape]:
        corner = (box.x - box.width / 2, box.y - box.height / 2)
        tip = f"node {node}: {self._operation(node)}"
        if node in self.topology.leaves:
            around = (corner[0] - _RING, corner[1] - _RING)
            size = (box.width + 2 * _RING, box.height + 2 * _RING)
            yield Box(around, *size, 13, colours.PAPER, colours.INK, 1.6, "leaf")
        if node == 0:
            yield Box(
                corner, box.width, box.height, 9, colours.INPUT, colours.INPUT, 1.6, "input", tip
            )
            yield Text((box.x, box.y), "input", _LABEL, colours.PAPER, "middle", "label")
            return
        tone, label = self._tone(node), short(self.topology.ops[node])
        yield Box(corner, box.width, box.height, 9, tone.fill, tone.line, 1.6, "node", tip)
        yield Text((box.x, box.y - 5.5), label, _LABEL, colours.INK, "middle", "label")
        yield Text((box.x, box.y + 9), str(node), _SMALL, colours.QUIET, "middle", "number")

    def _legend(self) -> Iterator[Entry]:
        used = sorted({self.topology.ops[node] for node in self.topology.reachable - {0}})
        for name in used:
            yield box_entry(short(name), self.tones[name].fill, self.tones[name].line)
        yield box_entry("output", colours.PAPER, colours.QUIET, ring=True)
        if self.removed is not None:
            line = Curve(((0, 0), (6, 0), (12, 0), (18, 0)), colours.REMOVED, 2.2, role="swatch")
            yield line_entry("removed", (line, *_cross((9.0, 0.0), 4.0)))
        if self.values:
            yield scale_entry(min(self.values.values()), max(self.values.values()))
            if len(self.topology.edges) > len(self.values):
                yield line_entry("not tried", edge_line(colours.FAINT, 1.2))

    def _operation(self, node: int) -> str:
        return self.topology.ops[node] if node else "input"

    def _tip(self, edge: Edge) -> str:
        parts = [f"edge {edge[0]} to {edge[1]}"]
        if edge in self.values:
            parts.append(f"score {self.values[edge]:.6g}")
        if edge == self.removed:
            parts.append("removed")
        return ", ".join(parts)

    def _name(self) -> str:
        nodes, edges = len(self.topology.reachable), len(self.topology.edges)
        return self.title or f"Cell of {nodes} nodes and {edges} edges"

    def _words(self) -> str:
        parts = ["Node 0 is the input"]
        for node in sorted(self.topology.reachable - {0}):
            sources = ", ".join(map(str, self.topology.predecessors(node)))
            parts.append(f"node {node} is {self.topology.ops[node]} of {sources}")
        parts.append(f"outputs: {', '.join(map(str, self.topology.leaves))}")
        parts += [self._tip(edge) for edge in sorted(self.values) if edge != self.removed]
        if self.removed is not None:
            parts.append(self._tip(self.removed))
        return "; ".join(parts) + "."


def _middle(route: tuple[Point, ...]) -> Point:
    """Halfway across an edge."""
    x = (route[0][0] + route[-1][0]) / 2
    pieces = itertools.pairwise(on_curve(route))
    start, end = next(piece for piece in pieces if piece[1][0] >= x)
    part = (x - start[0]) / (end[0] - start[0])
    return x, start[1] + (end[1] - start[1]) * part


def _cross(middle: Point, reach: float = 5.5) -> Iterator[Shape]:
    x, y = middle
    for dx, dy in ((reach, reach), (reach, -reach)):
        ends = (x - dx, y - dy), (x + dx, y + dy)
        points = (ends[0], middle, middle, ends[1])
        yield Curve(points, colours.PAPER, 5.4, role="halo")
    for dx, dy in ((reach, reach), (reach, -reach)):
        ends = (x - dx, y - dy), (x + dx, y + dy)
        yield Curve((ends[0], middle, middle, ends[1]), colours.REMOVED, 2.4, role="removed")
