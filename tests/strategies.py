"""Hypothesis strategies that several test packages share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import strategies as st

from autoshrink_ray.topology import Topology


@st.composite
def unpruned_topologies(
    draw: st.DrawFn, ops: Sequence[str], min_nodes: int = 2, max_nodes: int = 8
) -> Topology:
    """Any edges, one of them from node 0; some nodes may be unreachable and have edges."""
    nodes = draw(st.integers(min_nodes, max_nodes))
    names = draw(st.lists(st.sampled_from(ops), min_size=nodes, max_size=nodes))
    pairs = list(itertools.combinations(range(nodes), 2))
    edges = draw(st.sets(st.sampled_from(pairs)))
    first = (0, draw(st.integers(1, nodes - 1)))
    return Topology(tuple(names), tuple(sorted(edges | {first})))


def topologies(
    ops: Sequence[str], min_nodes: int = 2, max_nodes: int = 8
) -> st.SearchStrategy[Topology]:
    """Pruned cells with at least one edge; all of them can come up."""
    return unpruned_topologies(ops, min_nodes, max_nodes).map(Topology.pruned)


@st.composite
def relabellings(draw: st.DrawFn, topology: Topology) -> Topology:
    """The same cell with its nodes renumbered; node 0 stays the input."""
    order = [0]
    while len(order) < topology.nodes:
        ready = [
            node
            for node in range(1, topology.nodes)
            if node not in order and set(topology.predecessors(node)) <= set(order)
        ]
        order.append(draw(st.sampled_from(ready)))
    number = {node: position for position, node in enumerate(order)}
    edges = sorted((number[source], number[target]) for source, target in topology.edges)
    return Topology(tuple(topology.ops[node] for node in order), tuple(edges))
