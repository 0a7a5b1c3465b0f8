from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from autoshrink_ray.errors import ConfigError, FileFormatError
from autoshrink_ray.seeds import derive_seed
from search_spaces.build import build
from tests.trainables.final.text_support import (
    DROPOUTS,
    TEXT,
    count_up,
    identical,
    network_file,
    setup,
    through_files,
    training,
)
from tests.trainables.support import text_set
from trainables.batches import segments, text_columns
from trainables.final.contracts import Setup, State, World
from trainables.final.text_training import TextTraining, mean_loss, stays
from trainables.measure import DivergedError

FIXED = {"bptt_jitter": 0.0, "half_length_probability": 0.0}
"""Segments that all have the same length, where the text allows it."""


def run(text_training: TextTraining, epochs: int, attempt: int = 0) -> list[dict[str, float]]:
    return [text_training.run_epoch(attempt) for _ in range(epochs)]


def averaging(made_from: Setup) -> TextTraining:
    """A training that begins with averaging."""
    started = TextTraining(made_from)
    weights = started.weights().items()
    tensors = {f"{part}.{k}": v for part in ("network", "average") for k, v in weights}
    started.restore(State(tensors, {"epochs_done": 0, "losses": [], "averaged_steps": 0}))
    return started


# Where it begins


def test_embeddings_start_in_the_recipes_range_and_decoder_biases_at_0() -> None:
    network = network_file(vocabulary=200)
    weights = training(network, text_set(count_up(900, 200), count_up(60, 200), 200)).weights()
    embeddings = weights["embedding.weight"]
    assert 0.038 < embeddings.max() <= 0.04
    assert -0.04 <= embeddings.min() < -0.038
    assert not weights["decoder_bias"].any()
    assert 0.03 < weights["cell.edge_weight"].max() <= 0.04


def test_first_weights_are_a_function_of_the_seed() -> None:
    first = training(seed=3).weights()
    torch.manual_seed(99)
    assert identical(training(seed=3, learning_rate=1.0).weights(), first)
    assert not identical(training(seed=4).weights(), first)


# One epoch is its definition


def plain_step(model: Any, rows: Tensor, state: Tensor, recipe: Any) -> tuple[float, Tensor]:
    """One step with the model's own logits and no optimiser."""
    length = len(rows) - 1
    outputs, state = model.features(rows[:-1], state)
    logits = outputs @ model.embedding.weight.T + model.decoder_bias
    loss = F.cross_entropy(logits.flatten(0, 1), rows[1:].flatten())
    objective = loss
    if length > 1:
        change = (outputs[1:] - outputs[:-1]).pow(2).mean()
        objective = loss + recipe.temporal_regularisation * change
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(objective, parameters)
    norm = torch.sqrt(sum(g.pow(2).sum() for g in gradients))
    scale = min(1.0, recipe.clip / norm.item())
    rate = recipe.learning_rate * length / recipe.bptt
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter -= rate * (scale * gradient + recipe.weight_decay * parameter)
    return loss.item() * rows[1:].numel(), state.detach()


def plain_epoch(model: Any, made_from: Setup) -> tuple[float, list[dict[str, Tensor]]]:
    """Training loss of the first epoch, and the weights after each step."""
    recipe = made_from.recipe
    columns = text_columns(made_from.data.train, recipe.batch_size)
    generator = torch.Generator().manual_seed(derive_seed(made_from.seed, "segments", 1, 0))
    half, jitter = recipe.half_length_probability, recipe.jitter
    state, total, steps = model.initial_state(recipe.batch_size), 0.0, []
    for start, length in segments(len(columns), recipe.bptt, half, generator, jitter):
        loss, state = plain_step(model, columns[start : start + length + 1], state, recipe)
        total += loss
        steps.append({name: weight.clone() for name, weight in model.state_dict().items()})
    return total / columns[1:].numel(), steps


STRONG = {"temporal_regularisation": 0.5, "weight_decay": 0.01}
"""Regularisation that shows."""


@pytest.mark.parametrize("changes", [{}, {"bptt": 1, "shortest_segment": 1, "longest_extra": 1}])
def test_an_epoch_is_its_definition(changes: dict[str, int]) -> None:
    made_from = setup(**STRONG, **changes)
    started = TextTraining(made_from)
    model = build(made_from.network)
    model.load_state_dict(started.weights())
    metrics = started.run_epoch(0)
    loss, steps = plain_epoch(model, made_from)
    torch.testing.assert_close(started.weights(), steps[-1])
    assert metrics["training_loss"] == pytest.approx(loss, rel=1e-5)
    valid = text_columns(TEXT.valid, 2)
    assert metrics["loss"] == pytest.approx(mean_loss(model, valid, 99, World()), rel=1e-5)
    assert metrics["perplexity"] == pytest.approx(math.exp(metrics["loss"]))
    assert metrics["learning_rate"] == 2.0


def test_the_average_is_the_mean_of_the_weights_after_each_step() -> None:
    made_from = setup(**STRONG)
    started = averaging(made_from)
    model = build(made_from.network)
    model.load_state_dict(started.weights())
    metrics = started.run_epoch(0)
    _, steps = plain_epoch(model, made_from)
    expected = {name: torch.stack([step[name] for step in steps]).mean(0) for name in steps[0]}
    torch.testing.assert_close(started.weights(), expected)
    tensors = started.state().tensors
    torch.testing.assert_close({k: tensors[f"network.{k}"] for k in expected}, steps[-1])
    model.load_state_dict(expected)
    valid = text_columns(TEXT.valid, 2)
    assert metrics["loss"] == pytest.approx(mean_loss(model, valid, 99, World()), rel=1e-5)


def test_steps_with_averaging_are_those_of_torchs_asgd() -> None:
    """At a constant learning rate; else torch's takes the rate of the step before."""
    made_from = setup(**FIXED, weight_decay=0.01, temporal_regularisation=0.0)
    started = averaging(made_from)
    model = build(made_from.network)
    model.load_state_dict(started.weights())
    columns = text_columns(TEXT.train, 4)
    assert (len(columns) - 1) % 6 == 1  # the last segment alone has another rate
    asgd = torch.optim.ASGD(model.parameters(), lr=2.0, t0=0, lambd=0, weight_decay=0.01)
    state = model.initial_state(4)
    for start in range(0, len(columns) - 1, 6):
        rows = columns[start : start + 7]
        logits, state = model(rows[:-1], state.detach())
        F.cross_entropy(logits.flatten(0, 1), rows[1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        if len(rows) < 7:
            for values in asgd.state.values():
                values["eta"].fill_(2.0 / 6)
        asgd.step()
        asgd.zero_grad()
    started.run_epoch(0)
    tensors = started.state().tensors
    torch.testing.assert_close(
        {name: tensors[f"network.{name}"] for name in model.state_dict()}, dict(model.state_dict())
    )


# When averaging begins


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([3.0], 0, False),
        ([3.0, 2.0], 0, False),
        ([3.0, 3.0], 0, True),
        ([3.0, 4.0], 1, False),
        ([3.0, 9.0, 2.9], 1, False),
        ([3.0, 1.0, 2.9], 1, False),
        ([3.0, 1.0, 3.0], 1, True),
        ([3.0, 1.0, 2.0, 1.5], 1, True),
    ],
)
def test_averaging_begins_when_the_loss_stays(
    losses: list[float], patience: int, expected: bool
) -> None:
    assert stays(losses, patience) is expected


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20), st.integers(0, 6))
def test_the_rule_is_that_of_awd_lstm(losses: list[float], patience: int) -> None:
    logs: list[float] = []
    for number, loss in enumerate(losses):
        expected = number > patience and loss >= min(logs[: number - patience])
        assert stays(losses[: number + 1], patience) is expected
        logs.append(loss)


def test_a_loss_that_stays_starts_the_average_and_goes_on_with_it() -> None:
    started = training(learning_rate=1e-12, patience_to_average=1)
    steps = []
    for _ in range(4):
        started.run_epoch(0)
        steps.append(started.state().values["averaged_steps"])
    assert steps[:3] == [None, None, 0]
    assert steps[3] > 5


# Going on


def both(straight: TextTraining, made_from: Setup, epochs: int, stop: int) -> TextTraining:
    """A second training that does the same, but for its stop after epoch `stop`."""
    first, second = TextTraining(made_from), TextTraining(made_from)
    stopped = run(first, stop)
    second.restore(through_files(first.state()))
    assert second.epochs_done == stop
    assert stopped + run(second, epochs - stop) == run(straight, epochs)
    return second


@pytest.mark.parametrize("stop", [1, 2, 4])
def test_interrupted_training_ends_with_the_same_bits(stop: int) -> None:
    made_from = setup(network_file(**DROPOUTS), patience_to_average=0, learning_rate=40.0, epochs=5)
    straight = TextTraining(made_from)
    second = both(straight, made_from, epochs=5, stop=stop)
    assert identical(second.weights(), straight.weights())
    assert identical(dict(second.state().tensors), dict(straight.state().tensors))
    assert second.state().values == straight.state().values
    assert second.state().values["averaged_steps"] > 0  # averaging began on the way
    assert straight.finished
    assert second.finished


def test_a_state_is_a_copy() -> None:
    started = training()
    before = started.state()
    kept = {name: tensor.clone() for name, tensor in before.tensors.items()}
    weights = started.weights()
    started.run_epoch(0)
    assert identical(dict(before.tensors), kept)
    assert identical({f"network.{name}": weight for name, weight in weights.items()}, kept)


def test_every_epoch_and_attempt_has_its_own_random_numbers() -> None:
    network = network_file(**DROPOUTS)
    started = training(network)
    begin = started.state()
    seen = []
    for attempt in (0, 1, 0):
        started.restore(begin)
        started.run_epoch(attempt)
        seen.append(started.weights())
    assert identical(seen[0], seen[2])
    assert not identical(seen[0], seen[1])
    values = {"epochs_done": 1, "losses": [9.0], "averaged_steps": None}
    started.restore(State(begin.tensors, values))
    started.run_epoch(0)
    assert not identical(started.weights(), seen[0])


def test_global_generators_neither_matter_nor_move() -> None:
    started, other = training(network_file(**DROPOUTS)), training(network_file(**DROPOUTS))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    started.run_epoch(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other.run_epoch(0)
    assert identical(started.weights(), other.weights())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": [1.0, 2.0]}, "a loss for each epoch, got 2 and 1"),
        ({"epochs_done": -1}, "greater than or equal to 0"),
        ({"losses": [float("nan")]}, "finite number"),
        ({"optimizer": "adam"}, "optimizer: Extra inputs"),
        ({"averaged_steps": 3}, "averages where it has averaged_steps"),
    ],
)
def test_values_that_are_no_position_are_refused(change: dict[str, Any], message: str) -> None:
    started = training()
    started.run_epoch(0)
    state = started.state()
    with pytest.raises(FileFormatError, match=message):
        started.restore(State(state.tensors, {**state.values, **change}))


def test_a_state_of_another_network_is_refused() -> None:
    with pytest.raises(FileFormatError, match=r"do not fit.* \(10, 6\)"):
        training().restore(training(network_file(hidden_size=6)).state())


# Divergence


def test_a_training_that_diverged_goes_on_from_an_earlier_state() -> None:
    started = training(network_file(**DROPOUTS))
    started.run_epoch(0)
    best = through_files(started.state())
    poisoned = best.tensors | {"network.decoder_bias": torch.full((10,), torch.nan)}
    started.restore(State(poisoned, best.values))
    with pytest.raises(DivergedError, match="diverged in epoch 2: training loss nan"):
        started.run_epoch(0)
    assert started.epochs_done == 1
    started.restore(best)
    assert math.isfinite(started.run_epoch(1)["loss"])
    assert started.epochs_done == 2


def test_divergence_is_seen_before_the_epoch_ends() -> None:
    long = text_set(count_up(4 * 6 * 150), count_up(60), 10)
    started = training(data=long, learning_rate=1e30, **FIXED)
    with pytest.raises(DivergedError, match="epoch 1, segment 100: training loss"):
        started.run_epoch(0)


# Processes


def test_columns_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"batch_size is a multiple of .*workers.*got 4 and 3"):
        training(world=World(0, 3))


# That it learns


def test_a_learnable_text_is_learnt() -> None:
    """The best possible perplexity is about 2.4, a unigram model's 10."""
    train, valid = count_up(4000), count_up(800, seed=1)
    best = -(0.82 * math.log(0.82) + 9 * 0.02 * math.log(0.02))
    counts = Counter(train)
    unigram = math.exp(-sum(math.log(counts[word] / len(train)) for word in valid) / len(valid))
    started = training(
        network_file(hidden_size=16), text_set(train, valid, 10), epochs=14, patience_to_average=2
    )
    curve = [metrics["perplexity"] for metrics in run(started, 14)]
    assert unigram > 9
    assert min(curve) < 1.25 * math.exp(best)
    assert started.finished
