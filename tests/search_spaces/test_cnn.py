from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from autoshrink_ray.contracts import ImageShape, SearchSpace
from autoshrink_ray.errors import TopologyError
from autoshrink_ray.topology import Topology
from search_spaces.cnn import OPERATIONS, SPACE, Cell, CellNetwork, CnnMacro
from search_spaces.plan import CnnPlan, Norm, Stage, stage_width
from tests.strategies import relabellings, topologies, unpruned_topologies

OPS = tuple(OPERATIONS)
NORM = Norm(eps=1e-5, momentum=0.1)
SMALL = CnnMacro(stem_filters=4, base_width=4, scale=(1, 2), pools=(1, 2))
SHAPE = ImageShape(channels=2, height=7, width=6, classes=3)
CHAIN = Topology(("sep3x3", "sep3x3", "conv1x1"), ((0, 1), (1, 2)))

small = settings(deadline=None, max_examples=25)


def built(topology, seed=0, macro=SMALL, shape=SHAPE):
    torch.manual_seed(seed)
    return SPACE.build(topology, macro, shape)


def images(batch=4, shape=SHAPE):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, shape.channels, shape.height, shape.width, generator=generator)


def small_cell(topology, in_channels=4, width=4, pool=1):
    torch.manual_seed(0)
    return Cell(topology, in_channels, width, pool, "relu", NORM)


# The space


def test_space_fulfils_the_contract():
    assert isinstance(SPACE, SearchSpace)
    assert (SPACE.name, SPACE.task, SPACE.data) == ("cnn", "image", "digits")
    assert (SPACE.nodes, SPACE.keep_fraction) == (8, 0.01)


@pytest.mark.parametrize("nodes", range(2, 13))
def test_initial_cell_is_complete_and_balanced(nodes):
    for seed in range(20):
        topology = SPACE.initial(nodes, seed)
        assert len(topology.edges) == nodes * (nodes - 1) // 2
        assert Counter(topology.ops) == {"sep3x3": (nodes + 1) // 2, "conv1x1": nodes // 2}


def test_initial_cell_is_a_function_of_the_seed():
    assert SPACE.initial(8, 5) == SPACE.initial(8, 5)
    assert len({SPACE.initial(8, seed).ops for seed in range(40)}) > 20


def test_every_position_gets_every_operation():
    draws = [SPACE.initial(8, seed).ops for seed in range(400)]
    for node in range(8):
        assert 150 < sum(ops[node] == "sep3x3" for ops in draws) < 250


def test_too_few_nodes_are_refused():
    with pytest.raises(TopologyError, match="2 to 12 nodes, got 1"):
        SPACE.initial(1, 0)


def test_unknown_operation_is_refused_with_the_choices():
    topology = Topology(("sep3x3", "conv5x5"), ((0, 1),))
    for method in (
        SPACE.check,
        lambda t: SPACE.build(t, SMALL, SHAPE),
        lambda t: SPACE.cost(t, SMALL, SHAPE),
    ):
        with pytest.raises(TopologyError, match=r"node 1 is one of sep3x3, conv1x1; got 'conv5x5'"):
            method(topology)


def test_node_0_needs_no_operation_of_the_space():
    SPACE.check(CHAIN.canonical())


@pytest.mark.parametrize("edges", [(), ((1, 2),)])
def test_cell_without_a_reachable_edge_is_refused(edges):
    with pytest.raises(TopologyError, match="at least one edge that leaves node 0"):
        SPACE.check(Topology(("sep3x3", "sep3x3", "conv1x1"), edges))


# The macro settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": (1, 2)}, "scale and pools have one entry for each stage, got 2 of scale and 3"),
        ({"scale": (), "pools": ()}, "at least 1 item"),
        ({"scale": (1, 0, 2)}, "greater than 0"),
        ({"scale": (1, float("inf"), 2)}, "finite"),
        ({"pools": (1, 0, 2)}, "greater than or equal to 1"),
        ({"pools": (1, 1.5, 2)}, "integer"),
        ({"stem_filters": 0}, "greater than or equal to 1"),
        ({"base_width": 0}, "greater than or equal to 1"),
        ({"bn_eps": 0}, "greater than 0"),
        ({"bn_momentum": 1.5}, "less than or equal to 1"),
        ({"stem": 3}, "Extra inputs are not permitted"),
    ],
)
def test_macro_refuses(values, message):
    with pytest.raises(ValidationError, match=message):
        CnnMacro(**values)


def test_macro_survives_json():
    assert CnnMacro.model_validate_json(SMALL.model_dump_json()) == SMALL
    assert CnnMacro().model_dump_json() == CnnMacro(scale=(1, 2, 4)).model_dump_json()


@pytest.mark.parametrize(
    ("channels", "width"),
    [(16, 16), (1, 4), (5, 4), (6, 8), (10, 8), (14, 16), (11.2, 12), (44.8, 44), (179.2, 180)],
)
def test_stage_width_is_a_multiple_of_4(channels, width):
    assert stage_width(channels) == width


def test_defaults_are_the_original_proxy_network():
    assert CnnMacro().plan == CnnPlan(
        stem_filters=32,
        stages=(Stage(16, 1), Stage(32, 2), Stage(64, 2)),
        norm=Norm(eps=1e-5, momentum=0.1),
    )


# The cell


@small
@given(st.data())
def test_cell_concatenates_predecessors_and_leaves(data):
    topology = data.draw(topologies(OPS, max_nodes=6))
    pool = data.draw(st.sampled_from([1, 2]))
    cell = small_cell(topology, in_channels=data.draw(st.sampled_from([4, 8])), pool=pool).eval()
    x = torch.randn(2, cell.nodes[str(min(cell.predecessors))].in_channels_of_input, 5, 6) if 0 else None
    x = torch.randn(2, 8 if False else 4, 5, 6) if x is None else x


@small
@given(topologies(OPS, max_nodes=6))
def test_inner_nodes_are_rectified_and_leaves_are_not(topology):
    cell = small_cell(topology)
    outputs = {}
    for name, module in cell.nodes.items():
        module.register_forward_hook(
            lambda _module, _inputs, output, node=int(name): outputs.update({node: output})
        )
    cell(torch.randn(4, 4, 5, 5))
    assert outputs.keys() == topology.reachable - {0}
    for node, output in outputs.items():
        assert (output.min() < 0) == (node in topology.leaves)
