from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from autoshrink_ray.contracts import DataRequest, TextShape
from autoshrink_ray.errors import DataError
from autoshrink_ray.topology import Topology
from search_spaces.rnn import SPACE, RnnMacro
from tests.contracts.task_contract import Case, TaskContract
from tests.trainables.support import EDGE, BuilderSpace, NoMacro, text_set
from trainables.data import TextSet
from trainables.device import Compute
from trainables.measure import DivergedError
from trainables.text import (
    TASK,
    TextEvaluator,
    TextProxy,
    check_word_vectors,
    embedding_table,
    learning_rate,
    perplexity,
    segment_loss,
)

MACRO = RnnMacro(hidden_size=8)
CELL = Topology(("tanh", "relu", "tanh"), ((0, 1), (0, 2), (1, 2)))
OTHER_CELL = Topology(("tanh", "sigmoid"), ((0, 1),))
SMALL = TextProxy(epochs=2, batch_size=3, valid_batch_size=2, bptt=5)


def random_words(count: int, vocabulary: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, vocabulary, count).tolist()


def noise(train: int = 100, valid: int = 40, vocabulary: int = 7) -> TextSet:
    return text_set(random_words(train, vocabulary), random_words(valid, vocabulary, 1), vocabulary)


def evaluator(
    data: TextSet, proxy: TextProxy = SMALL, space: Any = SPACE, macro: Any = MACRO
) -> TextEvaluator:
    return TASK.evaluator(space, macro, proxy, data, threads=1, gpu=False)


class Model(nn.Module):
    """Forgets everything but the last word; keeps what it is shown."""

    def __init__(self, shape: TextShape, size: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocabulary, size)
        self.decoder_bias = nn.Parameter(torch.zeros(shape.vocabulary))
        self.size = size
        self.shown: list[tuple[int, float, float]] = []  # rows, state before, state after

    def initial_state(self, batch: int) -> Tensor:
        return torch.zeros(batch, self.size)

    def features(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        new = state + len(tokens)  # the number of words so far
        if self.training:
            self.shown.append((len(tokens), state[0, 0].item(), new[0, 0].item()))
        return self.outputs(self.embedding(tokens)), new

    def drop_output(self, outputs: Tensor) -> Tensor:
        return outputs

    def outputs(self, x: Tensor) -> Tensor:
        return x


class Watched:
    """Runs one candidate with a `Model` and keeps that model."""

    def __init__(self, data: TextSet, model: type[Model] = Model, **settings: Any) -> None:
        self._model_type = model
        space = BuilderSpace(self._build, "text")
        proxy = TextProxy(**(SMALL.model_dump() | settings))
        self.result = evaluator(data, proxy, space, NoMacro()).evaluate(EDGE, 0)

    def _build(self, shape: TextShape) -> Model:
        self.model = self._model_type(shape)
        return self.model


class TestTextTask(TaskContract):
    @pytest.fixture
    def case(self) -> Case:
        return Case(
            *("text", TASK, SPACE, MACRO, SMALL, noise(), (CELL, OTHER_CELL)),
            foreign=("digits", "trains on text, got 'digits'"),
        )


def test_the_result_is_the_best_epochs_perplexity() -> None:
    result = evaluator(noise()).evaluate(CELL, seed=1)
    assert result.metrics["perplexity"] == min(result.curve)
    assert result.metrics["perplexity"] == pytest.approx(math.exp(result.metrics["loss"]))


def plain_perplexity(model: Any, words: np.ndarray[Any, Any], columns: int) -> float:
    """Word by word, column by column, with the model's own logits."""
    model.eval()
    rows = len(words) // columns
    losses = []
    with torch.no_grad():
        for column in range(columns):
            text = words[column * rows : (column + 1) * rows].tolist()
            state = model.initial_state(1)
            for word, target in itertools.pairwise(text):
                logits, state = model(torch.tensor([[word]]), state)
                losses.append(-logits[0, 0].log_softmax(dim=0)[target].item())
    return math.exp(sum(losses) / len(losses))


def test_perplexity_is_of_the_mean_loss_over_the_targets() -> None:
    data, seed = noise(valid=37), 4
    proxy = TextProxy(**(SMALL.model_dump() | {"epochs": 1, "learning_rate": 1e-12}))
    result = evaluator(data, proxy).evaluate(CELL, seed)
    with Compute.available(threads=1, gpu=False, deterministic=True).seeded(seed):
        model = SPACE.build(CELL, MACRO, data.shape)
    with torch.no_grad():
        model.embedding.weight.copy_(embedding_table(data, 8, proxy.seed))
    assert result.metrics["perplexity"] == pytest.approx(
        plain_perplexity(model, data.valid, proxy.valid_batch_size), rel=1e-5
    )


def test_segment_loss_is_that_of_the_models_logits() -> None:
    model = SPACE.build(CELL, MACRO, TextShape(7))
    rows = torch.tensor([random_words(3, 7, seed) for seed in range(6)])
    state = torch.rand(3, 8)
    loss, new_state = segment_loss(model, rows, state)
    logits, expected_state = model(rows[:-1], state)
    expected = nn.functional.cross_entropy(
        logits.flatten(0, 1), rows[1:].flatten(), reduction="sum"
    )
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(new_state, expected_state)
    assert not new_state.requires_grad


def test_state_is_carried_over_segments_and_starts_anew_each_epoch() -> None:
    watched = Watched(noise(train=3 * 13), epochs=2, half_length_probability=0)
    epoch = [(5, 0.0, 5.0), (5, 5.0, 10.0), (2, 10.0, 12.0)]
    assert watched.model.shown == epoch * 2


def test_shorter_segments_have_a_smaller_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.SGD.step

    def recording(optimizer: torch.optim.SGD) -> None:
        rates.append(optimizer.param_groups[0]["lr"])
        step(optimizer)

    monkeypatch.setattr(torch.optim.SGD, "step", recording)
    Watched(noise(train=3 * 13), epochs=1, half_length_probability=0, learning_rate=2.0)
    assert rates == pytest.approx([2.0, 2.0, 2.0 * 2 / 5])
    rates.clear()
    Watched(noise(train=3 * 6), epochs=1, half_length_probability=1, learning_rate=2.0)
    assert rates == pytest.approx([0.8, 0.8, 0.4])


def test_gradient_norm_is_clipped() -> None:
    class Steep(Model):
        def outputs(self, x: Tensor) -> Tensor:
            return x * 1000

    before = embedding_table(noise(), 3, SMALL.seed)
    one_step = {"epochs": 1, "bptt": 99, "half_length_probability": 0, "diverged_ratio": 1e9}
    watched = Watched(noise(), Steep, **one_step, learning_rate=0.5, clip=0.25)
    ((rows, _, _),) = watched.model.shown
    change = torch.cat(
        [
            (watched.model.embedding.weight - before).flatten(),
            watched.model.decoder_bias,
        ]
    )
    assert change.norm().item() == pytest.approx(0.5 * rows / 99 * 0.25, rel=1e-3)


@pytest.mark.parametrize(
    ("epochs", "rates"),
    [
        (10, [20.0] * 7 + [2.0, 2.0, 0.2]),
        (4, [20.0, 2.0, 2.0, 0.2]),
        (3, [20.0, 20.0, 2.0]),
        (2, [20.0, 2.0]),
        (1, [20.0]),
    ],
)
def test_learning_rate_drops_after_epochs_counted_from_the_end(
    epochs: int, rates: list[float]
) -> None:
    proxy = TextProxy(epochs=epochs)
    assert [learning_rate(proxy, epoch) for epoch in range(1, epochs + 1)] == pytest.approx(rates)


def test_all_candidates_start_from_one_embedding_table() -> None:
    data = noise(vocabulary=50)
    table = embedding_table(data, 8, seed=3)
    assert torch.equal(embedding_table(data, 8, seed=3), table)
    assert not torch.equal(embedding_table(data, 8, seed=4), table)
    assert table.abs().max() <= 0.5
    assert table.std() == pytest.approx(math.sqrt(1 / 12), rel=0.1)
    still = {"epochs": 1, "learning_rate": 1e-12, "seed": 3}
    for _ in range(2):
        watched = Watched(data, **still)
        torch.testing.assert_close(
            watched.model.embedding.weight.detach(), embedding_table(data, 3, seed=3)
        )


def with_vectors(size: int) -> TextSet:
    vectors = np.zeros((7, size), dtype=np.float32)
    vectors[[2, 5]] = 9.0
    known = np.isin(np.arange(7), [2, 5])
    return text_set(
        random_words(100, 7), random_words(40, 7), 7, word_vectors=vectors, has_vector=known
    )


def test_word_vectors_replace_their_rows() -> None:
    random, table = embedding_table(noise(), 8, 0), embedding_table(with_vectors(8), 8, 0)
    assert torch.equal(table[[2, 5]], torch.full((2, 8), 9.0))
    others = [0, 1, 3, 4, 6]
    assert torch.equal(table[others], random[others])


def test_word_vectors_of_another_size_are_refused() -> None:
    assert evaluator(with_vectors(8)).evaluate(CELL, 0).status == "complete"
    with pytest.raises(DataError, match=r"hidden state: 8, got 5"):
        check_word_vectors(SPACE, MACRO, with_vectors(5))


@pytest.mark.parametrize(
    ("settings", "epochs", "reason"),
    [
        ({"diverged_ratio": 1e-3}, 1, "overfitting"),
        ({"learning_rate": 1e-12, "patience": 1}, 2, "no_improvement"),
    ],
)
def test_stop_rules_end_the_training(settings: dict[str, Any], epochs: int, reason: str) -> None:
    watched = Watched(noise(), **({"epochs": 9} | settings))
    assert (watched.result.status, watched.result.stop_reason) == ("complete", reason)
    assert watched.result.epochs == len(watched.result.curve) == epochs


def test_diverged_training_is_a_failure_with_its_place() -> None:
    class Broken(Model):
        def outputs(self, x: Tensor) -> Tensor:
            return x * torch.nan if len(self.shown) == 5 else x  # second segment, second epoch

    watched = Watched(noise(train=3 * 16), Broken, half_length_probability=0)
    assert watched.result.status == "failed"
    assert watched.result.reason == "diverged in epoch 2, step 2: training loss nan"
    assert (watched.result.epochs, len(watched.result.curve)) == (2, 1)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), 710.0])
def test_perplexity_that_is_no_number(loss: float) -> None:
    with pytest.raises(DivergedError, match=rf"diverged in epoch 1: validation loss {loss}"):
        perplexity(loss, "epoch 1: validation loss")


@pytest.mark.parametrize(
    ("split", "settings", "need"),
    [
        ("training", {"batch_size": 60_000}, 120_000),
        ("validation", {"valid_batch_size": 9999}, 19998),
    ],
)
def test_text_that_does_not_fill_the_columns(
    split: str, settings: dict[str, int], need: int
) -> None:
    with pytest.raises(DataError, match=rf"the {split} text .*need {need} words, got \d+"):
        TASK.load(DataRequest("pydoc", {}), SPACE, MACRO, TextProxy(**settings))


def test_two_words_a_column_are_enough() -> None:
    data = text_set(random_words(6, 4), random_words(4, 4), 4)
    assert evaluator(data).evaluate(CELL, 0).status == "complete"


def test_paper_settings_are_the_defaults() -> None:
    assert TextProxy().model_dump() == {
        "epochs": 10,
        "batch_size": 128,
        "valid_batch_size": 256,
        "bptt": 35,
        "half_length_probability": 0.05,
        "learning_rate": 20.0,
        "clip": 0.25,
        "word_vectors": None,
        "patience": 4,
        "diverged_ratio": 3.0,
        "average_decay": 0.9,
        "seed": 0,
        "deterministic": True,
    }


@pytest.mark.parametrize(
    "setting",
    [
        {"batch_size": 0},
        {"valid_batch_size": 0},
        {"bptt": 0},
        {"half_length_probability": 1.5},
        {"learning_rate": 0},
        {"clip": 0},
        {"clip": float("nan")},
        {"seed": -1},
        {"dropout": 0.5},
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(setting))):
        TextProxy(**setting)


def test_a_small_cell_beats_the_unigrams() -> None:
    """Each word is mostly followed by the next number."""
    rng = np.random.default_rng(0)
    words = [0]
    while len(words) < 4000:
        words.append((words[-1] + 1) % 10 if rng.random() < 0.8 else int(rng.integers(10)))
    train, valid = words[:3200], words[3200:]
    counts = Counter(train)
    unigram = math.exp(-sum(math.log(counts[word] / len(train)) for word in valid) / len(valid))
    proxy = TextProxy(epochs=5, batch_size=8, valid_batch_size=4, bptt=10)
    data = text_set(train, valid, 10)
    result = evaluator(data, proxy, macro=RnnMacro(hidden_size=16)).evaluate(CELL, 0)
    assert result.metrics["perplexity"] < 0.8 * unigram
