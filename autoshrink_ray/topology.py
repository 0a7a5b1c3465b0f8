"""A cell as data: nodes, operations and edges of a small DAG. Builds no network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from autoshrink_ray.errors import TopologyError

Edge = tuple[int, int]

MIN_NODES = 2
MAX_NODES = 12

INPUT = "input"
"""Operation of node 0 in a canonical topology: node 0 is the cell's input and applies none."""


@dataclass(frozen=True, order=True)
class Topology:
    """A cell: node 0 is its input, every leaf an output (paper, section "Methodology").

    Nodes are numbered 0..N-1 and edges run from a smaller to a larger number, so the graph is
    acyclic by construction. A node that node 0 does not reach is not part of the cell; a
    reachable node without an outgoing edge is a *leaf*.

    Attributes:
        ops: Name of each node's operation, N of them. Node 0's is carried along but unused.
        edges: Sorted, distinct pairs (i, j) with 0 <= i < j < N.

    Raises:
        TopologyError: On fewer than 2 or more than 12 nodes, or a value that breaks a rule.
    """

    ops: tuple[str, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.ops, tuple) or not isinstance(self.edges, tuple):
            raise TopologyError(
                f"ops and edges are tuples, got {type(self.ops).__name__} and "
                f"{type(self.edges).__name__}"
            )
        if not MIN_NODES <= len(self.ops) <= MAX_NODES:
            raise TopologyError(f"a cell has {MIN_NODES} to {MAX_NODES} nodes, got {len(self.ops)}")
        for op in self.ops:
            if not isinstance(op, str) or not op or set(op) & set("|:, "):
                raise TopologyError(
                    f"an operation is a name without '|', ':', ',' or spaces, got {op!r}"
                )
        for edge in self.edges:
            self._check_edge(edge)
        if list(self.edges) != sorted(set(self.edges)):
            raise TopologyError(f"edges are sorted and distinct, got {list(self.edges)}")

    def _check_edge(self, edge: Edge) -> None:
        is_pair = isinstance(edge, tuple) and len(edge) == 2
        if not is_pair or not all(type(node) is int for node in edge):
            raise TopologyError(f"an edge is a pair of node numbers, got {edge!r}")
        if not 0 <= edge[0] < edge[1] < len(self.ops):
            raise TopologyError(
                f"an edge (i, j) has 0 <= i < j < {len(self.ops)} nodes, got {edge!r}"
            )

    @classmethod
    def complete(cls, ops: tuple[str, ...]) -> Topology:
        """The complete DAG over `ops`: N(N-1)/2 edges, where every search starts."""
        return cls(ops, tuple(itertools.combinations(range(len(ops)), 2)))

    @property
    def nodes(self) -> int:
        """Number of nodes N, unreachable ones included."""
        return len(self.ops)

    @cached_property
    def reachable(self) -> frozenset[int]:
        """Nodes that node 0 reaches, node 0 included."""
        found = {0}
        for source, target in self.edges:  # sorted: a node's incoming edges precede its outgoing
            if source in found:
                found.add(target)
        return frozenset(found)

    @cached_property
    def leaves(self) -> tuple[int, ...]:
        """Reachable nodes without an outgoing edge, ascending: together the cell's output."""
        sources = {source for source, _ in self.edges}
        return tuple(sorted(self.reachable - sources))

    def predecessors(self, node: int) -> tuple[int, ...]:
        """Sources of `node`'s incoming edges, ascending."""
        return tuple(source for source, target in self.edges if target == node)

    def pruned(self) -> Topology:
        """Without the edges that leave unreachable nodes. Prunes from the input only."""
        kept = tuple(edge for edge in self.edges if edge[0] in self.reachable)
        return Topology(self.ops, kept)

    def without(self, edge: Edge) -> Topology:
        """The pruned cell that is left when `edge` goes.

        Raises:
            TopologyError: If the cell has no such edge.
        """
        if edge not in self.edges:
            raise TopologyError(f"cannot remove {edge}: the edges are {list(self.edges)}")
        return Topology(self.ops, tuple(e for e in self.edges if e != edge)).pruned()

    @cached_property
    def encoding(self) -> Encoding:
        """Smallest (operation, predecessors) sequence over all topological orders.

        Node 0 comes first and is left out, as are unreachable nodes, so isomorphic cells, and
        only they, have equal encodings.
        """
        return _smallest_encoding(self.pruned())

    @property
    def key(self) -> str:
        """Canonical name of the cell: equal for isomorphic cells and for no others.

        One `operation:predecessors` entry per node after node 0, in canonical order, as in
        `conv1x1:0|sep3x3:0,1`. The empty cell's key is the empty string.
        """
        return "|".join(f"{op}:{','.join(map(str, before))}" for op, before in self.encoding)

    def canonical(self) -> Topology:
        """The same cell in canonical numbering, unreachable nodes dropped.

        Networks are built from this form, so isomorphic cells give identical networks.

        Raises:
            TopologyError: If no edge is left: the empty cell has only one node.
        """
        ops = (INPUT, *(op for op, _ in self.encoding))
        edges = sorted(
            (source, target)
            for target, (_, before) in enumerate(self.encoding, start=1)
            for source in before
        )
        return Topology(ops, tuple(edges))


Encoding = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class _Order:
    """A topological order under construction: the placed nodes' positions, by node."""

    positions: tuple[tuple[int, int], ...]

    def extended(self, node: int) -> _Order:
        return _Order((*self.positions, (node, len(self.positions))))


def _smallest_encoding(topology: Topology) -> Encoding:
    """Grows all minimal orders side by side; twins (equal in and out) need only one order."""
    before = {node: frozenset(topology.predecessors(node)) for node in topology.reachable}
    after = {
        node: frozenset(t for s, t in topology.edges if s == node) for node in topology.reachable
    }
    orders = [_Order(((0, 0),))]
    encoding: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(len(topology.reachable) - 1):
        steps = [step for order in orders for step in _steps(topology.ops, before, after, order)]
        smallest = min(entry for entry, _ in steps)
        encoding.append(smallest)
        orders = [order for entry, order in steps if entry == smallest]
    return tuple(encoding)


def _steps(
    ops: tuple[str, ...],
    before: dict[int, frozenset[int]],
    after: dict[int, frozenset[int]],
    order: _Order,
) -> Iterator[tuple[tuple[str, tuple[int, ...]], _Order]]:
    """Every way to place one more node, one for each class of interchangeable nodes."""
    position = dict(order.positions)
    seen: set[tuple[str, frozenset[int], frozenset[int]]] = set()
    for node in before:
        if node in position or not before[node] <= position.keys():
            continue
        twin = (ops[node], before[node], after[node])
        if twin in seen:
            continue
        seen.add(twin)
        yield (ops[node], tuple(sorted(position[p] for p in before[node]))), order.extended(node)
