import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autoshrink_ray.contracts import ImageShape, TextShape
from autoshrink_ray.topology import Topology
from search_spaces import cnn, rnn
from search_spaces.cost import Cost, cnn_cost, rnn_cost, shortcut_slack
from search_spaces.plan import CnnPlan, Norm, Stage
from search_spaces.zoo import CELLS
from tests.strategies import topologies, unpruned_topologies

NORM = Norm(eps=1e-3, momentum=0.001)

small = settings(deadline=None, max_examples=40)


def counted_macs(module, *inputs):
    """Multiply-accumulates as torch counts them, without computing anything."""
    module = module.to("meta").eval()
    with FlopCounterMode(display=False) as counter:
        module(*(x.to("meta") for x in inputs))
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


def counted_params(module, without=()):
    return sum(
        parameter.numel()
        for part in module.modules()
        if not isinstance(part, without)
        for parameter in part.parameters(recurse=False)
    )


@st.composite
def plans(draw):
    stages = st.builds(
        Stage,
        width=st.sampled_from([4, 8]),
        pool=st.integers(1, 3),
        cells=st.integers(1, 2),
    )
    return CnnPlan(
        stem_filters=draw(st.sampled_from([4, 6])),
        stages=tuple(draw(st.lists(stages, min_size=1, max_size=3))),
        norm=NORM,
        stem_stride=draw(st.sampled_from([1, 2])),
        head_filters=draw(st.sampled_from([0, 10])),
    )


shapes = st.builds(
    ImageShape,
    channels=st.integers(1, 3),
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    classes=st.integers(2, 5),
)


@small
@given(topologies(tuple(cnn.OPERATIONS), max_nodes=6), plans(), shapes)
def test_cost_of_an_image_network_is_what_torch_counts(topology, plan, shape):
    cost = cnn_cost(topology, plan, shape)
    network = cnn.CellNetwork(topology, plan, shape)
    assert cost.params == counted_params(network)
    assert cost.params_without_bn == counted_params(network, without=nn.BatchNorm2d)
    image = torch.empty(1, shape.channels, shape.height, shape.width)
    assert cost.macs == counted_macs(network, image)


@small
@given(unpruned_topologies(tuple(cnn.OPERATIONS), max_nodes=6), st.booleans())
def test_cost_of_the_image_space_is_of_the_network_it_builds(topology, small_image):
    macro = cnn.CnnMacro(stem_filters=8, base_width=6)
    shape = ImageShape(1, 8, 8, 10) if small_image else ImageShape(3, 9, 15, 10)
    cost = cnn.SPACE.cost(topology, macro, shape)
    network = cnn.SPACE.build(topology, macro, shape)
    assert cost == {
        "macs": counted_macs(network, torch.empty(1, shape.channels, shape.height, shape.width)),
        "params": counted_params(network),
        "params_without_bn": counted_params(network, without=nn.BatchNorm2d),
    }


@small
@given(topologies(tuple(cnn.OPERATIONS), max_nodes=5), plans(), shapes, st.data())
def test_costs_grow_with_the_widths_but_for_the_slack_of_shortcuts(topology, plan, shape, data):
    more = st.sampled_from([0, 4, 8])
    wider = replace(
        plan,
        stem_filters=plan.stem_filters + data.draw(more),
        stages=tuple(replace(s, width=s.width + data.draw(more)) for s in plan.stages),
    )
    (least, most), (least_wider, most_wider) = (
        [
            {name: cost[name] - paid.metrics[name] for name in cost},
            {name: cost[name] + saved.metrics[name] for name in cost},
        ]
        for cost, (paid, saved) in (
            (cnn_cost(topology, p, shape).metrics, shortcut_slack(topology, p, shape))
            for p in (plan, wider)
        )
    )
    for name in least:
        assert 0 < least[name] <= least_wider[name]
        assert least[name] <= most[name] <= most_wider[name]


def test_cost_of_a_tiny_image_network_by_hand():
    plan = CnnPlan(stem_filters=4, stages=(Stage(width=4, pool=2),), norm=NORM)
    cell = Topology(("sep3x3", "sep3x3"), ((0, 1),))
    cost = cnn_cost(cell, plan, ImageShape(channels=1, height=5, width=3, classes=2))
    stem = 5 * 3 * 9 * 1 * 4
    depthwise, pointwise, projection = 3 * 2 * 9 * 4, 3 * 2 * 4 * 4, 3 * 2 * 4 * 4
    assert stem + depthwise + pointwise + projection + 4 * 2 == 956
    kernels = 9 * 4 + 9 * 4 + 4 * 4 + 4 * 4 + 4 * 2 + 2
    norms = 4 * (4 + 4)
    assert cost == Cost(macs=956, params=kernels + norms, params_without_bn=kernels)


def test_published_image_network_has_its_published_cost():
    plan = CnnPlan(
        stem_filters=44,
        stages=(
            Stage(12, 1, cells=1),
            Stage(24, 2, cells=3),
            Stage(44, 2, cells=4),
            Stage(88, 2, cells=6),
            Stage(180, 2, cells=4),
        ),
        norm=NORM,
        stem_stride=2,
        head_filters=1280,
    )
    shape = ImageShape(3, 224, 224, classes=1001)
    cost = cnn_cost(CELLS["shrink-cnn-a"].topology, plan, shape)
    assert (cost.params_without_bn, cost.macs) == (3_600_981, 383_677_672)


def test_published_language_model_has_its_published_size():
    cost = rnn_cost(CELLS["shrink-rnn"].topology, hidden_size=745, vocabulary=10_000)
    assert cost["params"] == 23_000_700


@small
@given(unpruned_topologies(tuple(rnn.ACTIVATIONS), max_nodes=6), st.integers(1, 9))
def test_cost_of_the_text_space_is_of_the_model_it_builds(topology, hidden_size):
    macro, shape = rnn.RnnMacro(hidden_size=hidden_size), TextShape(vocabulary=11)
    cost = rnn.SPACE.cost(topology, macro, shape)
    model = rnn.SPACE.build(topology, macro, shape)
    assert cost["params"] == counted_params(model)
    tokens, state = torch.zeros(3, 2, dtype=torch.long), model.initial_state(2)
    assert 3 * 2 * (cost["macs"] + cost["decoder_macs"]) == counted_macs(model, tokens, state)
    assert cost["cost"] == len(topology.pruned().edges) * hidden_size**2


def test_cost_of_a_tiny_language_model_by_hand():
    cell = Topology(("relu", "tanh", "relu"), ((0, 1), (1, 2)))
    assert rnn_cost(cell, hidden_size=3, vocabulary=5) == {
        "macs": 6 * 6 + 2 * (3 * 6),
        "params": 6 * 6 + 2 * (3 * 6) + 5 * 3 + 5,
        "cost": 2 * 9,
        "decoder_macs": 15,
    }


@pytest.mark.parametrize("module", ["search_spaces", "search_spaces.cost", "search_spaces.fit"])
def test_costs_and_zoo_load_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
