"""Cells as data: rules, pruning, and a canonical form that networkx agrees with."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.errors import TopologyError
from autoshrink_ray.topology import INPUT, Edge, Encoding, Topology
from tests.strategies import relabellings, topologies, unpruned_topologies

OPS = ("conv1x1", "sep3x3")


def cell(nodes: int, *edges: Edge, ops: str = "") -> Topology:
    """A small literal cell; every operation is `a` unless `ops` has a letter for each node."""
    return Topology(tuple(ops or "a" * nodes), edges)


# The rules of a cell


@pytest.mark.parametrize("nodes", [0, 1, 13])
def test_too_few_or_too_many_nodes(nodes: int) -> None:
    with pytest.raises(TopologyError, match=f"a cell has 2 to 12 nodes, got {nodes}"):
        cell(nodes)


@pytest.mark.parametrize("nodes", [2, 12])
def test_smallest_and_largest_cell(nodes: int) -> None:
    assert cell(nodes, (0, nodes - 1)).nodes == nodes


@pytest.mark.parametrize("op", ["", "a|b", "a:b", "a,b", "a b", 3, None])
def test_operation_that_a_key_could_not_hold(op: Any) -> None:
    with pytest.raises(TopologyError, match=r"an operation is a name without .* got"):
        Topology(("a", op), ((0, 1),))


@pytest.mark.parametrize("edge", [(1, 0), (1, 1), (-1, 1), (0, 3), (2, 3)])
def test_edge_that_does_not_run_forwards_between_nodes(edge: Edge) -> None:
    with pytest.raises(TopologyError, match=r"0 <= i < j < 3 nodes, got \("):
        cell(3, edge)


@pytest.mark.parametrize("edge", [(0,), (0, 1, 2), [0, 1], 5, ("0", "1"), (0, 1.0), (False, True)])
def test_edge_that_is_no_pair_of_node_numbers(edge: Any) -> None:
    with pytest.raises(TopologyError, match="an edge is a pair of node numbers, got"):
        cell(3, edge)


@pytest.mark.parametrize("edges", [((0, 2), (0, 1)), ((0, 1), (0, 1))])
def test_edges_that_are_unordered_or_repeated(edges: tuple[Edge, ...]) -> None:
    with pytest.raises(TopologyError, match="edges are sorted and distinct"):
        cell(3, *edges)


@pytest.mark.parametrize(
    ("ops", "edges"), [(["a", "a"], ()), ("aa", ()), (("a", "a"), [(0, 1)]), (("a", "a"), None)]
)
def test_parts_that_could_be_changed_later(ops: Any, edges: Any) -> None:
    with pytest.raises(TopologyError, match="ops and edges are tuples, got"):
        Topology(ops, edges)


def test_cells_are_values() -> None:
    one, same, other = cell(3, (0, 1)), cell(3, (0, 1)), cell(3, (0, 2))
    assert one == same != other
    assert len({one, same, other}) == 2
    assert sorted([other, one]) == [one, other]
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301 - our own bytes
    with pytest.raises(AttributeError):
        one.ops = ()  # type: ignore[misc]


# Reading a cell


@pytest.mark.parametrize("nodes", range(2, 13))
def test_complete_cell_has_every_edge(nodes: int) -> None:
    complete = Topology.complete(("a",) * nodes)
    assert len(complete.edges) == nodes * (nodes - 1) // 2
    assert complete.leaves == (nodes - 1,)
    assert complete.pruned() == complete


def test_a_node_that_leads_nowhere_is_an_output() -> None:
    assert cell(4, (0, 1), (0, 2), (1, 3)).leaves == (2, 3)


def test_an_unreachable_node_is_no_output() -> None:
    assert cell(4, (0, 2)).leaves == (2,)
    assert cell(4, (0, 2)).reachable == {0, 2}


def test_an_unreachable_nodes_outgoing_edges_go() -> None:
    assert cell(4, (0, 3), (1, 3)).pruned() == cell(4, (0, 3))


def test_whatever_hangs_on_an_unreachable_node_goes_too() -> None:
    assert cell(5, (0, 4), (1, 2), (2, 3), (3, 4)).pruned() == cell(5, (0, 4))


def test_a_dead_end_stays() -> None:
    dead_end = cell(4, (0, 1), (0, 2), (1, 3))
    assert dead_end.pruned() == dead_end


def test_without_any_edge_the_input_is_the_output() -> None:
    empty = cell(3)
    assert empty.leaves == (0,)
    assert empty.key == ""
    with pytest.raises(TopologyError, match="2 to 12 nodes, got 1"):
        empty.canonical()


def test_edges_far_from_the_input_do_not_make_a_cell() -> None:
    assert cell(3, (1, 2)).pruned() == cell(3)


def test_predecessors_are_sources_of_incoming_edges() -> None:
    diamond = cell(4, (0, 1), (0, 2), (1, 3), (2, 3))
    assert [diamond.predecessors(node) for node in range(4)] == [(), (0,), (0,), (1, 2)]


def test_removing_an_edge_prunes() -> None:
    chain = cell(4, (0, 1), (0, 3), (1, 2), (2, 3))
    assert chain.without((0, 1)) == cell(4, (0, 3))
    assert chain.without((2, 3)) == cell(4, (0, 1), (0, 3), (1, 2))


def test_removing_an_edge_that_is_not_there() -> None:
    with pytest.raises(TopologyError, match=r"cannot remove \(1, 2\): the edges are \[\(0, 1\)\]"):
        cell(3, (0, 1)).without((1, 2))


@given(unpruned_topologies(OPS))
def test_prune_is_idempotent_and_keeps_what_is_reachable(topology: Topology) -> None:
    pruned = topology.pruned()
    assert pruned.pruned() == pruned
    assert set(pruned.edges) <= set(topology.edges)
    assert (pruned.ops, pruned.reachable, pruned.leaves) == (
        topology.ops,
        topology.reachable,
        topology.leaves,
    )


@given(unpruned_topologies(OPS))
def test_reachability_is_networkx_reachability(topology: Topology) -> None:
    graph = nx.DiGraph(topology.edges)
    graph.add_nodes_from(range(topology.nodes))
    assert topology.reachable == nx.descendants(graph, 0) | {0}
    assert topology.leaves == tuple(
        sorted(node for node in topology.reachable if graph.out_degree(node) == 0)
    )


@given(st.data(), topologies(OPS))
def test_without_is_one_edge_less_pruned(data: st.DataObject, topology: Topology) -> None:
    edge = data.draw(st.sampled_from(topology.edges))
    rest = Topology(topology.ops, tuple(e for e in topology.edges if e != edge))
    assert topology.without(edge) == rest.pruned()


# The canonical form


def slow_encoding(topology: Topology) -> Encoding:
    """Smallest encoding over every order of the nodes that node 0 reaches."""
    pruned = topology.pruned()
    return min(
        tuple(
            (pruned.ops[node], tuple(sorted(position[p] for p in pruned.predecessors(node))))
            for node in order
        )
        for order in itertools.permutations(sorted(pruned.reachable - {0}))
        for position in [{node: place for place, node in enumerate((0, *order))}]
        if all(position[source] < position[target] for source, target in pruned.edges)
    )


def graph(topology: Topology) -> nx.DiGraph:
    """The cell for networkx: reachable nodes with their operations, node 0 as the root."""
    found = nx.DiGraph(topology.pruned().edges)
    found.add_node(0)
    for node in found:
        found.nodes[node]["op"] = None if node == 0 else topology.ops[node]
    return found


def isomorphic(one: Topology, other: Topology) -> bool:
    return bool(
        nx.is_isomorphic(graph(one), graph(other), node_match=lambda a, b: a["op"] == b["op"])
    )


def all_cells(nodes: int, ops: str) -> list[Topology]:
    """Every labelled cell of this size, unpruned ones included."""
    pairs = list(itertools.combinations(range(nodes), 2))
    return [
        Topology(("a", *names), edges)
        for names in itertools.product(ops, repeat=nodes - 1)
        for size in range(len(pairs) + 1)
        for edges in itertools.combinations(pairs, size)
    ]


def test_keys_of_literal_cells() -> None:
    assert cell(3, (0, 1), (0, 2), (1, 2), ops="abc").key == "b:0|c:0,1"
    assert cell(4, (0, 1), (0, 2), ops="abbz").key == "b:0|b:0"
    assert cell(3, (0, 1), (1, 2), ops="aba").key == "b:0|a:1"
    assert cell(2, (0, 1), ops="xy").canonical() == Topology((INPUT, "y"), ((0, 1),))


@pytest.mark.parametrize(
    ("nodes", "ops", "cells"), [(2, "ab", 3), (3, "ab", 14), (4, "ab", 130), (5, "a", 185)]
)
def test_keys_are_equal_exactly_where_networkx_sees_an_isomorphism(
    nodes: int, ops: str, cells: int
) -> None:
    """Over all cells of a size: no two different ones are merged, none is split.

    Three nodes: the empty cell, one node (2), two side by side (3), in a row (4), and with a
    shortcut (4). Five nodes of one operation: the unlabelled DAGs with one source, of which
    there are 1 + 1 + 3 + 16 + 164.
    """
    by_key: dict[str, list[Topology]] = {}
    for topology in all_cells(nodes, ops):
        by_key.setdefault(topology.key, []).append(topology)
    for first, *others in by_key.values():
        assert all(isomorphic(first, other) for other in others)
    representatives = [group[0] for group in by_key.values()]
    for one, other in itertools.combinations(representatives, 2):
        assert not isomorphic(one, other), (one, other)
    assert len(by_key) == cells


@given(unpruned_topologies(OPS, max_nodes=6), unpruned_topologies(OPS, max_nodes=6))
def test_keys_of_random_pairs_agree_with_networkx(one: Topology, other: Topology) -> None:
    assert (one.key == other.key) == isomorphic(one, other)


@given(topologies(OPS, min_nodes=4), st.data())
def test_keys_of_near_twins_agree_with_networkx(topology: Topology, data: st.DataObject) -> None:
    """Cells that differ in one edge or one operation, as a round's candidates do."""
    one = topology.without(data.draw(st.sampled_from(topology.edges)))
    other = topology.without(data.draw(st.sampled_from(topology.edges)))
    assert (one.key == other.key) == isomorphic(one, other)
    ops = data.draw(st.permutations(topology.ops))
    renamed = Topology(tuple(ops), topology.edges)
    assert (renamed.key == topology.key) == isomorphic(renamed, topology)


@given(st.data(), unpruned_topologies(OPS, max_nodes=12))
def test_keys_survive_every_topological_relabelling(
    data: st.DataObject, topology: Topology
) -> None:
    same = data.draw(relabellings(topology))
    assert same.key == topology.key
    assert same.encoding == topology.encoding
    if topology.pruned().edges:
        assert same.canonical() == topology.canonical()


@given(unpruned_topologies(OPS, max_nodes=6))
def test_encoding_is_the_smallest_over_all_orders(topology: Topology) -> None:
    assert topology.encoding == slow_encoding(topology)


def test_encoding_is_the_smallest_of_every_four_node_cell() -> None:
    for topology in all_cells(4, "ab"):
        assert topology.encoding == slow_encoding(topology)


@given(topologies(OPS, max_nodes=12))
def test_canonical_form_is_a_fixed_point_of_the_same_cell(topology: Topology) -> None:
    canonical = topology.canonical()
    assert canonical.canonical() == canonical
    assert canonical.key == topology.key
    assert canonical.reachable == set(range(canonical.nodes))
    assert len(canonical.edges) == len(topology.edges)
    assert len(canonical.leaves) == len(topology.leaves)
    assert isomorphic(canonical, topology)


@given(topologies(OPS))
def test_node_zeros_operation_is_not_part_of_the_cell(topology: Topology) -> None:
    assert Topology(("another", *topology.ops[1:]), topology.edges).key == topology.key


@given(topologies(OPS, max_nodes=11))
def test_an_unused_node_is_not_part_of_the_cell(topology: Topology) -> None:
    assert Topology((*topology.ops, "unused"), topology.edges).key == topology.key


def fan_of_all_subsets() -> Topology:
    """Eight nodes after the input that no swap exchanges: their targets are all subsets of three.

    All 8! orders of them have one encoding, the most that twelve nodes allow.
    """
    middle, last = range(1, 9), range(9, 12)
    subsets = itertools.product([False, True], repeat=3)
    wires = [
        (source, target)
        for source, subset in zip(middle, subsets, strict=True)
        for target, used in zip(last, subset, strict=True)
        if used
    ]
    return cell(12, *((0, node) for node in middle), *wires)


@pytest.mark.parametrize(
    "topology",
    [
        fan_of_all_subsets(),
        cell(12, *((0, node) for node in range(1, 12))),
        cell(12, *((0, n) for n in range(1, 6)), (0, 11), *((n, n + 5) for n in range(1, 6))),
        cell(
            12, *((0, n) for n in range(1, 7)), *((a, b) for a in range(1, 7) for b in range(7, 12))
        ),
        Topology.complete(("a",) * 12),
    ],
    ids=["subsets", "fan", "parallel chains", "bipartite", "complete"],
)
def test_symmetric_cells_of_twelve_nodes_have_keys_too(topology: Topology) -> None:
    """Within the memory and time of a test; trying all 11! orders would not be."""
    backwards = reversed_twins(topology)
    assert backwards.key == topology.key
    assert backwards.canonical() == topology.canonical()


def reversed_twins(topology: Topology) -> Topology:
    """The same cell, nodes of equal depth numbered the other way round."""
    depth = {0: 0}
    for node in range(1, topology.nodes):
        depth[node] = 1 + max(depth[source] for source in topology.predecessors(node))
    order = sorted(range(topology.nodes), key=lambda node: (depth[node], -node))
    number = {node: place for place, node in enumerate(order)}
    edges = sorted((number[source], number[target]) for source, target in topology.edges)
    return Topology(topology.ops, tuple(edges))
