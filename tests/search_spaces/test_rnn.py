from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from autoshrink_ray.contracts import SearchSpace, TextShape
from autoshrink_ray.errors import TopologyError
from autoshrink_ray.topology import Topology
from search_spaces.rnn import ACTIVATIONS, SPACE, RecurrentCell, RnnMacro
from tests.strategies import relabellings, topologies, unpruned_topologies

OPS = tuple(ACTIVATIONS)
SHAPE = TextShape(vocabulary=13)
SMALL = RnnMacro(hidden_size=6)
T, B, D, H = 4, 3, 5, 6

small = settings(deadline=None, max_examples=40)


def built(topology, seed=0, macro=SMALL):
    torch.manual_seed(seed)
    return SPACE.build(topology, macro, SHAPE)


def tokens(length=T, batch=B):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(SHAPE.vocabulary, (length, batch), generator=generator)


def cell_with_large_weights(topology, **dropout):
    """Double precision, and weights that leave the linear part of the activations."""
    torch.manual_seed(0)
    cell = RecurrentCell(topology, D, H, **dropout).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter)
    return cell


def outputs_slowly(cell, topology, x, h, x_mask=1, h_mask=1):
    """The cell's definition, edge by edge and step by step."""
    weights = dict(zip(topology.edges, cell.edge_weight, strict=True))
    outputs = []
    for step in x:
        c, g = (torch.cat([step * x_mask, h * h_mask], 1) @ cell.input_weight).chunk(2, 1)
        states = {0: h + torch.sigmoid(c) * (torch.tanh(g) - h)}
        for node in range(1, topology.nodes):
            messages = []
            for source in topology.predecessors(node):
                state = states[source]
                c, g = ((state * h_mask) @ weights[source, node]).chunk(2, 1)
                activated = {
                    "relu": g.clamp(min=0),
                    "tanh": torch.tanh(g),
                    "sigmoid": 1 / (1 + torch.exp(-g)),
                    "identity": g,
                }[topology.ops[node]]
                messages.append(state + torch.sigmoid(c) * (activated - state))
            if messages:
                states[node] = sum(messages) / len(messages)
        h = sum(states[leaf] for leaf in topology.leaves) / len(topology.leaves)
        outputs.append(h)
    return torch.stack(outputs)


# The space


def test_space_fulfils_the_contract():
    assert isinstance(SPACE, SearchSpace)
    assert (SPACE.name, SPACE.task, SPACE.data) == ("rnn", "text", "pydoc")
    assert (SPACE.nodes, SPACE.keep_fraction) == (6, 0.25)


def test_initial_cell_is_complete_and_a_function_of_the_seed():
    topology = SPACE.initial(6, 5)
    assert len(topology.edges) == 15
    assert topology == SPACE.initial(6, 5)
    assert len({SPACE.initial(6, seed).ops for seed in range(100)}) > 80


def test_activations_are_drawn_uniformly_for_each_node():
    draws = [SPACE.initial(6, seed).ops for seed in range(800)]
    for node in range(6):
        counts = Counter(ops[node] for ops in draws)
        assert counts.keys() == set(OPS)
        assert all(140 < count < 260 for count in counts.values())


def test_unknown_activation_is_refused_with_the_choices():
    topology = Topology(("relu", "swish"), ((0, 1),))
    message = "node 1 is one of relu, tanh, sigmoid, identity; got 'swish'"
    for method in (
        SPACE.check,
        lambda t: SPACE.build(t, SMALL, SHAPE),
        lambda t: SPACE.cost(t, SMALL, SHAPE),
    ):
        with pytest.raises(TopologyError, match=message):
            method(topology)


def test_cell_without_an_edge_is_refused():
    with pytest.raises(TopologyError, match="at least one edge that leaves node 0"):
        SPACE.check(Topology(("relu", "relu"), ()))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 0}, "greater than or equal to 1"),
        ({"dropout_input": -0.1}, "greater than or equal to 0"),
        ({"dropout_hidden": 1}, "less than 1"),
        ({"dropout_words": 1}, "less than 1"),
        ({"dropout_embedding": -1}, "greater than or equal to 0"),
        ({"dropout_output": float("nan")}, "dropout_output"),
        ({"dropout": 0.5}, "Extra inputs are not permitted"),
    ],
)
def test_macro_refuses(values, message):
    with pytest.raises(ValidationError, match=message):
        RnnMacro(**values)


# The cell


@small
@given(topologies(OPS, max_nodes=6))
def test_cell_is_its_definition(topology):
    cell = cell_with_large_weights(topology)
    x, h = torch.randn(T, B, D).double(), torch.randn(B, H).double()
    outputs, state = cell(x, h)
    torch.testing.assert_close(outputs, outputs_slowly(cell, topology, x, h))
    assert torch.equal(state, outputs[-1])


def test_cell_has_the_gradients_of_its_definition():
    topology = SPACE.initial(6, 0)
    cell = cell_with_large_weights(topology)
    x, h = torch.randn(T, B, D).double(), torch.randn(B, H).double()
    parameters = list(cell.parameters())
    fast = torch.autograd.grad(cell(x, h)[0].square().sum(), parameters)
    slow = torch.autograd.grad(outputs_slowly(cell, topology, x, h).square().sum(), parameters)
    torch.testing.assert_close(fast, slow)


@small
@given(unpruned_topologies(OPS, max_nodes=6))
def test_unreachable_nodes_add_nothing(topology):
    models = [built(cell, seed=7) for cell in (topology, topology.pruned())]
    assert models[0].cell.edge_weight.shape == models[1].cell.edge_weight.shape
    outputs = [model(tokens(), model.initial_state(B))[0] for model in models]
    assert torch.equal(*outputs)


@small
@given(st.data())
def test_isomorphic_cells_give_identical_models(data):
    topology = data.draw(topologies(OPS, max_nodes=6))
    other = data.draw(relabellings(topology))
    models = [built(cell.canonical(), seed=7) for cell in (topology, other)]
    outputs = [model(tokens(), model.initial_state(B))[0] for model in models]
    assert torch.equal(*outputs)


# Dropout

SMOOTH = Topology(
    ("identity", "tanh", "sigmoid", "identity"), ((0, 1), (0, 2), (1, 2), (1, 3), (2, 3))
)


def masks_of(cell, x, h):
    """Outputs for a batch of one, and the masks that they were made with.

    A row of a weight has no gradient exactly where its input was dropped at every time step.
    """
    cell.zero_grad()
    outputs, _ = cell(x, h)
    outputs.sum().backward()
    rows = [*cell.input_weight.grad.split([D, H]), *cell.edge_weight.grad]
    x_kept, *h_kept = ((row != 0).any(dim=1) for row in rows)
    return outputs, x_kept, h_kept


def test_masks_are_the_same_at_each_step_and_on_each_edge():
    cell = cell_with_large_weights(SMOOTH, dropout_input=0.4, dropout_hidden=0.5)
    x, h = torch.randn(20, 1, D).double(), torch.randn(1, H).double()
    seen = set()
    for _ in range(20):
        outputs, x_kept, h_kept = masks_of(cell, x, h)
        seen.add((*x_kept.tolist(), *h_kept[0].tolist()))
        assert all(torch.equal(kept, h_kept[0]) for kept in h_kept)
        expected = outputs_slowly(
            cell, SMOOTH, x, h, x_mask=x_kept.double() / 0.6, h_mask=h_kept[0].double() / 0.5
        )
        torch.testing.assert_close(outputs, expected)
    assert len(seen) > 10  # every segment draws its own


def test_sequences_of_a_batch_have_their_own_masks():
    cell = cell_with_large_weights(SMOOTH, dropout_hidden=0.5)
    outputs, _ = cell(torch.ones(T, 16, D).double(), torch.ones(16, H).double())
    assert len({tuple(row.tolist()) for row in outputs[0]}) > 8


def test_evaluation_drops_nothing():
    dropping = cell_with_large_weights(SMOOTH, dropout_input=0.4, dropout_hidden=0.5).eval()
    plain = cell_with_large_weights(SMOOTH)
    x, h = torch.randn(T, B, D).double(), torch.randn(B, H).double()
    assert torch.equal(dropping(x, h)[0], plain(x, h)[0])


def test_macro_sets_the_dropouts():
    macro = RnnMacro(hidden_size=6, dropout_input=0.3, dropout_hidden=0.2)
    cell = built(SMOOTH, macro=macro).cell
    assert (cell.dropout_input, cell.dropout_hidden) == (0.3, 0.2)


# The language model


def test_weights_start_in_their_ranges():
    torch.manual_seed(0)
    model = SPACE.build(SPACE.initial(6, 0), RnnMacro(), TextShape(vocabulary=200))
    for weight, bound in [
        (model.embedding.weight, 0.5),
        (model.cell.input_weight, 0.04),
        (model.cell.edge_weight, 0.04),
    ]:
        assert 0.99 * bound < weight.max().item() <= bound
        assert -bound <= weight.min().item() < -0.99 * bound
        assert weight.mean().item() == pytest.approx(0, abs=0.02 * bound)
    assert not model.decoder_bias.any()


def test_logits_come_from_the_tied_embedding():
    model = built(SMOOTH)
    torch.nn.init.normal_(model.decoder_bias)
    logits, state = model(tokens(), model.initial_state(B))
    assert logits.shape == (T, B, SHAPE.vocabulary)
    expected = state @ model.embedding.weight.T + model.decoder_bias
    torch.testing.assert_close(logits[-1], expected)


def test_state_carries_a_segment_into_the_next():
    model = built(SMOOTH)
    text = tokens(length=7)
    state = model.initial_state(B)
    assert state.shape == (B, 6)
    assert not state.any()
    whole, last = model(text, state)
    first, state = model(text[:4], state)
    second, state = model(text[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(state, last)


def test_initial_state_has_the_precision_of_the_model():
    assert built(SMOOTH).double().initial_state(2).dtype == torch.float64


@small
@given(topologies(OPS, max_nodes=6))
def test_every_parameter_is_trained(topology):
    model = built(topology)
    model(tokens(), model.initial_state(B))[0].square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
