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


def output_slowly(cell, topology, x):
    """The cell's output node by node; every node's module is called where it is needed."""

    def state(node):
        if node == 0:
            return F.max_pool2d(x, cell.pool, ceil_mode=True)
        before = [source for source, target in topology.edges if target == node]
        return cell.nodes[str(node)](torch.cat([state(source) for source in before], dim=1))

    return torch.cat([state(leaf) for leaf in topology.leaves], dim=1) + cell.shortcut(x)


@small
@given(topologies(OPS, max_nodes=5), st.sampled_from([4, 6]), st.sampled_from([1, 2]))
def test_cell_joins_predecessors_and_leaves_by_channel(topology, in_channels, pool):
    cell = small_cell(topology, in_channels, pool=pool).eval()
    x = torch.randn(2, in_channels, 5, 6)
    out = cell(x)
    assert out.shape == (2, 4 * len(topology.leaves), -(-5 // pool), 6 // pool)
    assert out.shape[1] == cell.out_channels
    torch.testing.assert_close(out, output_slowly(cell, topology, x))


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
        assert bool(output.min() < 0) == (node in topology.leaves)


def silence_leaves(cell):
    """Makes every node's output zero, so that only the shortcut is left."""
    for node in cell.nodes.values():
        norm = node.pointwise.norm if hasattr(node, "pointwise") else node.norm
        nn.init.zeros_(norm.weight)


def test_residual_is_the_input_where_the_shape_stays():
    cell = small_cell(CHAIN, in_channels=4, width=4, pool=1)
    silence_leaves(cell)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(cell(x), x)


@pytest.mark.parametrize(("in_channels", "pool"), [(6, 1), (4, 2), (6, 2)])
def test_residual_projects_the_input_before_pooling_where_the_shape_changes(in_channels, pool):
    cell = small_cell(CHAIN, in_channels, width=4, pool=pool)
    silence_leaves(cell)
    x = torch.randn(2, in_channels, 5, 6)
    projected = F.conv2d(x, cell.shortcut.conv.weight, stride=pool)
    expected = F.batch_norm(projected, None, None, training=True, eps=NORM.eps)
    torch.testing.assert_close(cell(x), expected)


# The network


def test_proxy_network_has_the_stages_of_its_settings():
    topology = Topology(("sep3x3", "sep3x3", "conv1x1"), ((0, 1), (0, 2)))
    network = built(topology, macro=CnnMacro(), shape=ImageShape(3, 32, 32, 10)).eval()
    x = network.stem(torch.randn(1, 3, 32, 32))
    assert x.shape == (1, 32, 32, 32)
    assert x.min() >= 0
    for stage, shape in zip(
        network.stages, [(1, 32, 32, 32), (1, 64, 16, 16), (1, 128, 8, 8)], strict=True
    ):
        x = stage(x)
        assert x.shape == shape
    assert network.head(x).shape == (1, 10)
    assert torch.allclose(network.head(x), network.head.classifier(x.mean((2, 3))))


def test_only_the_first_cell_of_a_stage_pools():
    plan = CnnPlan(4, (Stage(4, 2, cells=3), Stage(8, 2, cells=2)), NORM, stem_stride=2)
    network = CellNetwork(CHAIN, plan, SHAPE)
    assert [[cell.pool for cell in stage] for stage in network.stages] == [[2, 1, 1], [2, 1]]
    assert network(images()).shape == (4, 3)


def test_head_convolution_widens_the_features():
    plan = CnnPlan(4, (Stage(4, 1),), NORM, head_filters=20, activation="swish")
    network = CellNetwork(CHAIN, plan, SHAPE)
    assert network.head.classifier.in_features == 20
    assert network(images()).shape == (4, 3)
    assert any(isinstance(module, nn.SiLU) for module in network.modules())


def test_settings_of_batch_normalisation_reach_every_layer():
    network = built(CHAIN, macro=SMALL.model_copy(update={"bn_eps": 1e-3, "bn_momentum": 0.5}))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.5)}


@small
@given(topologies(OPS, max_nodes=6))
def test_each_parameter_is_trained_and_has_one_role(topology):
    network = built(topology)
    network(images()).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    roles = network.parameters_by_role()
    listed = [id(parameter) for group in roles.values() for parameter in group]
    assert sorted(listed) == sorted(map(id, network.parameters()))


def test_roles_are_those_that_weight_decay_tells_apart():
    network = built(CHAIN)
    roles = network.parameters_by_role()
    first, second = (stage[0] for stage in network.stages)
    assert {role: set(map(id, group)) for role, group in roles.items()} == {
        "kernel": {
            id(network.stem.conv.weight),
            id(first.nodes["1"].pointwise.conv.weight),
            id(first.nodes["2"].conv.weight),
            id(second.nodes["1"].pointwise.conv.weight),
            id(second.nodes["2"].conv.weight),
            id(network.head.classifier.weight),
        },
        "depthwise": {id(cell.nodes["1"].depthwise.weight) for cell in (first, second)},
        "projection": {id(second.shortcut.conv.weight)},
        "other": {
            id(network.head.classifier.bias),
            *(
                id(parameter)
                for module in network.modules()
                if isinstance(module, nn.BatchNorm2d)
                for parameter in module.parameters()
            ),
        },
    }


@small
@given(st.data())
def test_isomorphic_cells_give_identical_networks(data):
    topology = data.draw(topologies(OPS, max_nodes=6))
    other = data.draw(relabellings(topology))
    outputs = [built(cell.canonical(), seed=7)(images()) for cell in (topology, other)]
    assert torch.equal(*outputs)


@small
@given(unpruned_topologies(OPS, max_nodes=6))
def test_unreachable_nodes_add_nothing(topology):
    networks = [built(cell, seed=7) for cell in (topology, topology.pruned())]
    states = [network.state_dict() for network in networks]
    assert states[0].keys() == states[1].keys()
    assert torch.equal(*(network(images()) for network in networks))
