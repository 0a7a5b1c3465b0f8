"""Where nodes and edges go: rules that hold for every cell."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoshrink_ray.drawing.heights import isotonic
from autoshrink_ray.drawing.layers import Layers, longest_paths
from autoshrink_ray.drawing.layout import Box, Layout, layout
from autoshrink_ray.drawing.scene import on_curve
from autoshrink_ray.topology import MAX_NODES, Edge, Topology
from tests.strategies import topologies, unpruned_topologies

CELLS = topologies(("a", "b"), max_nodes=MAX_NODES)
WIDTH = 64.0


def complete(nodes: int) -> Topology:
    return Topology.complete(("a",) * nodes)


def inside(box: Box, point: tuple[float, float], margin: float) -> bool:
    x, y = point
    return (
        abs(x - box.x) < box.width / 2 + margin - 1e-6
        and abs(y - box.y) < box.height / 2 + margin - 1e-6
    )


def rounded(value: float) -> float:
    return round(value, 2)


@settings(max_examples=60)
@given(CELLS)
def test_every_edge_goes_to_a_later_layer_and_to_the_right(topology: Topology) -> None:
    placed = layout(topology, WIDTH)
    for (source, target), route in placed.routes.items():
        assert placed.boxes[source].layer < placed.boxes[target].layer
        xs = [x for x, _ in on_curve(route)]
        assert xs == sorted(xs)


@settings(max_examples=60)
@given(CELLS)
def test_an_edge_leaves_its_source_and_enters_its_target(topology: Topology) -> None:
    placed = layout(topology, WIDTH)
    assert set(placed.routes) == set(topology.edges)
    for (source, target), route in placed.routes.items():
        start, end = placed.boxes[source], placed.boxes[target]
        assert route[0][0] == rounded(start.x + start.width / 2)
        assert route[-1][0] == rounded(end.x - end.width / 2)
        assert abs(route[0][1] - start.y) < start.height / 2
        assert abs(route[-1][1] - end.y) < end.height / 2


@settings(max_examples=60)
@given(CELLS)
def test_nodes_do_not_overlap(topology: Topology) -> None:
    placed = layout(topology, WIDTH)
    assert set(placed.boxes) == topology.reachable
    for a, b in itertools.combinations(placed.boxes.values(), 2):
        apart = abs(a.x - b.x) >= WIDTH + 20, abs(a.y - b.y) >= (a.height + b.height) / 2 + 20
        assert any(apart)


@settings(max_examples=100)
@given(CELLS)
def test_no_edge_touches_a_node_that_is_not_its_end(topology: Topology) -> None:
    placed = layout(topology, WIDTH)
    for edge, route in placed.routes.items():
        others = [box for node, box in placed.boxes.items() if node not in edge]
        for point in on_curve(route, steps=24):
            assert not any(inside(box, point, margin=5) for box in others)


@settings(max_examples=60)
@given(CELLS)
def test_edges_have_places_of_their_own_at_their_ends(topology: Topology) -> None:
    placed = layout(topology, WIDTH)
    for end in (0, -1):
        points = [route[end] for route in placed.routes.values()]
        for a, b in itertools.combinations(points, 2):
            assert abs(a[0] - b[0]) > 1 or abs(a[1] - b[1]) > 9


@settings(max_examples=60)
@given(CELLS)
def test_everything_is_inside_the_picture(topology: Topology) -> None:
    placed = layout(topology, WIDTH)
    for x, y in itertools.chain(*map(on_curve, placed.routes.values())):
        assert -0.01 <= x <= placed.width + 0.01
        assert -0.01 <= y <= placed.height + 0.01
    for box in placed.boxes.values():
        assert box.width / 2 <= box.x <= placed.width - box.width / 2
        assert box.height / 2 <= box.y + 0.01
        assert box.y <= placed.height - box.height / 2 + 0.01


@settings(max_examples=60)
@given(CELLS)
def test_edges_that_pass_a_layer_keep_their_order_and_a_distance(topology: Topology) -> None:
    placed = layout(topology, WIDTH)
    for box in placed.boxes.values():
        routes = sorted(passing(placed, box.x), key=lambda route: at(route, box.x))
        for step in (-1, -0.5, 0, 0.5, 1):
            heights = [at(route, box.x + step * WIDTH / 2) for route in routes]
            assert all(b - a > 5.5 for a, b in itertools.pairwise(heights))


def passing(placed: Layout, x: float) -> list[tuple[tuple[float, float], ...]]:
    return [route for route in placed.routes.values() if route[0][0] < x < route[-1][0]]


def at(route: tuple[tuple[float, float], ...], x: float) -> float:
    for (x1, y1), (x2, y2) in itertools.pairwise(on_curve(route)):
        if x1 <= x <= x2 and x1 < x2:
            return y1 + (y2 - y1) * (x - x1) / (x2 - x1)
    raise AssertionError(f"the route does not pass {x}")


@given(unpruned_topologies(("a", "b"), max_nodes=MAX_NODES))
def test_what_the_input_does_not_reach_is_left_out(topology: Topology) -> None:
    assert set(layout(topology).boxes) == topology.reachable
    assert set(layout(topology).routes) == set(topology.pruned().edges)


@pytest.mark.parametrize(
    ("nodes", "fewest"), [(2, 0), (3, 0), (4, 0), (5, 1), (6, 3), (7, 9), (8, 18), (12, 150)]
)
def test_the_complete_cell_has_the_fewest_crossings_known(nodes: int, fewest: int) -> None:
    """Harary and Hill's number Z(n), reached by drawings with two sides."""
    assert layout(complete(nodes)).crossings == fewest


def test_a_planar_cell_has_no_crossings() -> None:
    edges = ((0, 1), (0, 2), (0, 3), (1, 4), (2, 5), (3, 6), (4, 7), (5, 7), (6, 7))
    assert layout(Topology(("a",) * 8, edges)).crossings == 0


def test_a_chain_is_a_straight_line() -> None:
    chain = layout(Topology(("a",) * 4, ((0, 1), (1, 2), (2, 3))))
    assert {y for route in chain.routes.values() for _, y in route} == {chain.height / 2}


def test_layers_are_longest_paths() -> None:
    edges: tuple[Edge, ...] = ((0, 1), (0, 3), (0, 4), (1, 2), (2, 3))
    assert longest_paths(Topology(("a",) * 5, edges)) == {0: 0, 1: 1, 2: 2, 3: 3, 4: 1}


def test_a_long_edge_bends_in_each_layer_between() -> None:
    layers = Layers.of(Topology(("a",) * 4, ((0, 1), (0, 3), (1, 2), (2, 3))))
    source, *bends, target = layers.chains[0, 3]
    assert (source, target) == (0, 3)
    assert [layers.layer[bend] for bend in bends] == [1, 2]
    assert not any(map(layers.is_node, bends))


NUMBERS = st.floats(-100, 100)


@given(st.lists(st.tuples(NUMBERS, st.floats(0.5, 10)), min_size=1, max_size=8))
def test_isotonic_never_falls_and_keeps_the_weighted_sum(pairs: list[tuple[float, float]]) -> None:
    values, weights = [value for value, _ in pairs], [weight for _, weight in pairs]
    found = isotonic(values, weights)
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(found))
    before, after = (
        sum(v * w for v, w in zip(those, weights, strict=True)) for those in (values, found)
    )
    assert after == pytest.approx(before, abs=1e-6)


def test_isotonic_keeps_what_does_not_fall() -> None:
    assert isotonic([1.0, 2.0, 2.0], [1.0, 1.0, 1.0]) == [1.0, 2.0, 2.0]
