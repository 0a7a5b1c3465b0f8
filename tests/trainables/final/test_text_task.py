from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import ConfigError, DataError, RunError
from search_spaces.build import build
from tests.trainables.final.text_support import TEXT, network_file, setup
from tests.trainables.support import text_set
from trainables.data import pydoc
from trainables.final.text import TEXT_TASK
from trainables.final.text_recipe import TextRecipe

RECIPE = TextRecipe(batch_size=4, valid_batch_size=2)
INPUTS = {"vocabulary": [f"w{number}" for number in range(10)]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A text of the words a, b, c and `<eos>`."""
    for split, lines in [("train", 6), ("valid", 3), ("test", 2)]:
        (tmp_path / f"{split}.txt").write_text("a b c\n" * lines)
    return tmp_path


def load(spec: str, vocabulary: int = 4, options: Any = None, **recipe: int) -> Any:
    request = DataRequest(spec, options or {})
    changed = RECIPE.model_copy(update=recipe)
    return TEXT_TASK.load(request, network_file(vocabulary), changed)


def test_the_task_says_what_it_is() -> None:
    assert TEXT_TASK.quality == "perplexity"
    assert TEXT_TASK.Recipe is TextRecipe
    assert TEXT_TASK.splits == ("train", "valid", "test")


def test_a_text_that_fits_is_loaded(folder: Path) -> None:
    data = load(f"text:{folder}")
    assert data.vocabulary == ("a", "b", "c", "<eos>")
    assert TEXT_TASK.inputs(RECIPE, data) == {"vocabulary": ["a", "b", "c", "<eos>"]}


def test_a_vocabulary_that_contradicts_the_network_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"vocabulary of 1,000 words, got 'text:.*' with 4:"):
        load(f"text:{folder}", vocabulary=1000)


def test_images_are_refused() -> None:
    with pytest.raises(DataError, match="trains on text, got 'digits'"):
        load("digits")


@pytest.mark.parametrize(
    ("option", "columns", "message"),
    [
        ("batch_size", 13, "train text .*batch_size.* 13 columns need 26 words, got 24"),
        ("valid_batch_size", 7, "valid text .*valid_batch_size.* need 14 words, got 12"),
        ("test_batch_size", 5, "test text .*test_batch_size.* need 10 words, got 8"),
    ],
)
def test_a_split_too_short_for_its_columns_is_refused(
    folder: Path, option: str, columns: int, message: str
) -> None:
    assert load(f"text:{folder}", **{option: columns - 1})
    recipe = RECIPE.model_copy(update={option: columns})
    with pytest.raises(DataError, match=message):
        TEXT_TASK.require_trainable(load(f"text:{folder}", **{option: columns}), recipe)


def test_word_vectors_are_refused(folder: Path) -> None:
    (folder / "vectors.txt").write_text("a 1 2 3\n")
    options = {"word_vectors": str(folder / "vectors.txt")}
    with pytest.raises(DataError, match=r"draws all embeddings, got .* with word vectors"):
        load(f"text:{folder}", options=options)


def evaluate(module: Any, split: str, inputs: Any = INPUTS, **changes: Any) -> dict[str, float]:
    return TEXT_TASK.evaluate(module, TEXT, split, inputs, setup(**changes))


def plain_loss(model: Any, words: np.ndarray[Any, Any], columns: int) -> float:
    """Word by word, column by column, with the model's own logits."""
    model.eval()
    rows = len(words) // columns
    losses = []
    with torch.no_grad():
        for column in range(columns):
            state = model.initial_state(1)
            for word, target in itertools.pairwise(
                words[column * rows : (column + 1) * rows].tolist()
            ):
                logits, state = model(torch.tensor([[word]]), state)
                losses.append(-logits[0, 0].log_softmax(dim=0)[target].item())
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("split", "columns"), [("train", 3), ("valid", 3), ("test", 2)])
def test_every_split_is_evaluated_in_its_columns(split: str, columns: int) -> None:
    torch.manual_seed(0)
    model = build(network_file(dropout_input=0.5, dropout_output=0.5))
    torch.nn.init.normal_(model.embedding.weight)
    metrics = evaluate(model, split, valid_batch_size=3, test_batch_size=2)
    expected = plain_loss(model, getattr(TEXT, split), columns)
    assert metrics == pytest.approx({"loss": expected, "perplexity": math.exp(expected)}, rel=1e-5)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown split 'dev'; choose one of train, valid, test"):
        evaluate(build(network_file()), "dev")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"vocabulary": ["w0", "x", "y"]}, "word 1 was 'x' there and is 'w1' in the data"),
        ({"vocabulary": ["w0"]}, "word 1 was missing there and is 'w1' in the data"),
        ({"vocabulary": [*INPUTS["vocabulary"], "z"]}, "word 10 was 'z' there and is missing"),
        ({}, "come with their vocabulary, got none"),
    ],
)
def test_words_that_are_numbered_otherwise_are_refused(
    inputs: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate(build(network_file()), "valid", inputs)


def test_weights_that_are_not_finite_cannot_be_evaluated() -> None:
    model = build(network_file())
    torch.nn.init.constant_(model.decoder_bias, torch.nan)
    with pytest.raises(RunError, match="weights cannot be evaluated: diverged in valid loss nan"):
        evaluate(model, "valid")


def test_pydoc_trains_the_network_that_was_derived_for_it() -> None:
    text = pydoc(DataRequest("pydoc", {}))
    words = len(text.vocabulary)
    assert load("pydoc", words).fingerprint == text.fingerprint
    with pytest.raises(DataError, match=f"got 'pydoc' with {words:,}"):
        load("pydoc", words + 1)


def test_a_text_may_be_as_short_as_its_columns() -> None:
    short = text_set(range(8), range(4), 10)
    module = build(network_file())
    metrics = TEXT_TASK.evaluate(module, short, "train", INPUTS, setup(data=short))
    assert metrics["perplexity"] == pytest.approx(10, rel=0.5)
