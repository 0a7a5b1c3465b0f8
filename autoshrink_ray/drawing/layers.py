"""A cell's nodes in layers, long edges as chains of bends through the layers between."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from autoshrink_ray.topology import Edge, Topology

Item = int
"""A node by its number, or a bend by a number that no node has."""


@dataclass(frozen=True)
class Layers:
    """A cell in layers: each edge goes from one layer to the next, over bends where it is long.

    Attributes:
        nodes: Number of nodes of the cell; items below it are nodes, the others bends.
        layer: Layer of each item, from 0: the longest path from the input to it.
        chains: Items that each edge visits, its ends included.
    """

    nodes: int
    layer: dict[Item, int]
    chains: dict[Edge, tuple[Item, ...]]

    @classmethod
    def of(cls, topology: Topology) -> Layers:
        """The layers of the nodes that the input reaches."""
        pruned = topology.pruned()
        layer = longest_paths(pruned)
        chains: dict[Edge, tuple[Item, ...]] = {}
        for source, target in pruned.edges:
            first = len(layer) + pruned.nodes
            between = range(layer[source] + 1, layer[target])
            bends = {first + step: place for step, place in enumerate(between)}
            layer |= bends
            chains[source, target] = (source, *bends, target)
        return cls(pruned.nodes, layer, chains)

    def is_node(self, item: Item) -> bool:
        """Whether it is a node and no bend."""
        return item < self.nodes

    @property
    def columns(self) -> list[list[Item]]:
        """Items of each layer, nodes before bends."""
        columns: list[list[Item]] = [[] for _ in range(max(self.layer.values()) + 1)]
        for item in sorted(self.layer):
            columns[self.layer[item]].append(item)
        return columns

    @property
    def segments(self) -> list[tuple[Item, Item]]:
        """Pieces of all edges, each from one layer to the next."""
        chains = self.chains.values()
        return [pair for chain in chains for pair in itertools.pairwise(chain)]


def longest_paths(topology: Topology) -> dict[int, int]:
    """Edges on the longest path from the input to each node that it reaches."""
    layer = {0: 0}
    for source, target in topology.pruned().edges:  # sorted: a source is done before its edges
        layer[target] = max(layer.get(target, 0), layer[source] + 1)
    return layer
