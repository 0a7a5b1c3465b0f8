"""Language models in full training: loading their text, evaluating them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from torch import Tensor, nn

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import ConfigError, DataError, RunError, choices
from search_spaces.network import NetworkFile, TextInput
from trainables.batches import text_columns
from trainables.data import TextSet
from trainables.final.contracts import FullTask, Setup
from trainables.final.recipes import Recipe
from trainables.final.text_recipe import TextRecipe
from trainables.final.text_training import TextTraining, mean_loss
from trainables.measure import DivergedError
from trainables.text import check_length, load_text, perplexity


class TextFullTask:
    """Trains language models in full; see `trainables.final.contracts.FullTask`.

    Modules have to be a `trainables.text.TextNetwork`.
    """

    quality = "perplexity"
    Recipe: type[Recipe] = TextRecipe
    splits: tuple[str, ...] = ("train", "valid", "test")

    def load(self, request: DataRequest, network: NetworkFile, recipe: TextRecipe) -> TextSet:
        """Reads the text and checks it against network and recipe.

        Raises:
            DataError: If it is no text, has another vocabulary than the network, comes with word
                vectors or does not fill the columns.
        """
        data = load_text(request)
        words = network.input.vocabulary if isinstance(network.input, TextInput) else 0
        if words != len(data.vocabulary):
            raise DataError(
                f"the network is for a vocabulary of {words:,} words, got {request.spec!r} with "
                f"{len(data.vocabulary):,}: derive a network for these data"
            )
        if data.word_vectors is not None:
            raise DataError(
                f"full training draws all embeddings, got {request.spec!r} with word vectors: "
                f"leave them out"
            )
        for split in self.splits:
            _columns(data, split, recipe)
        return data

    def require_trainable(self, data: TextSet, recipe: TextRecipe) -> None:
        """Raises DataError if the training text does not fill its columns."""
        check_length("train", data.train, "batch_size", recipe.batch_size)

    def inputs(self, recipe: TextRecipe, data: TextSet) -> dict[str, Any]:
        """`vocabulary`: the word of each number."""
        return {"vocabulary": list(data.vocabulary)}

    def training(self, setup: Setup) -> TextTraining:
        """A training at its beginning."""
        return TextTraining(setup)

    def evaluate(
        self,
        module: nn.Module,
        data: TextSet,
        split: str,
        inputs: Mapping[str, Any],
        setup: Setup,
    ) -> dict[str, float]:
        """`perplexity` and `loss` per target; see `FullTask.evaluate`.

        The words have to be numbered as in training. Those of `pydoc` are not from one version
        of Python to another.

        Raises:
            ConfigError: If there is no such split.
            DataError: If the words are numbered otherwise or do not fill the columns.
            RunError: If the loss is not finite.
        """
        if split not in self.splits:
            raise ConfigError(f"unknown split {split!r}; choose one of {choices(self.splits)}")
        _check_vocabulary(inputs.get("vocabulary"), data.vocabulary)
        columns = _columns(data, split, setup.recipe).to(setup.compute.device)
        with setup.compute.seeded(setup.seed):
            loss = mean_loss(module, columns, setup.recipe.bptt, setup.world)
        try:
            return {"perplexity": perplexity(loss, f"{split} loss"), "loss": loss}
        except DivergedError as error:
            raise RunError(f"the weights cannot be evaluated: {error}") from error


def _columns(data: TextSet, split: str, recipe: TextRecipe) -> Tensor:
    """The columns (T, B) in which a split is evaluated."""
    option = "test_batch_size" if split == "test" else "valid_batch_size"
    words, columns = getattr(data, split), getattr(recipe, option)
    check_length(split, words, option, columns)
    return text_columns(words, columns)


def _check_vocabulary(trained: Any, given: Sequence[str]) -> None:
    if not isinstance(trained, list):
        raise DataError("the weights of a language model come with their vocabulary, got none")
    for number, (word, other) in enumerate(zip_longest(trained, given)):
        if word != other:
            raise DataError(
                f"words are numbered as in training: word {number} was {_quoted(word)} there and "
                f"is {_quoted(other)} in the data"
            )


def _quoted(word: Any) -> str:
    return "missing" if word is None else repr(word)


TEXT_TASK: FullTask = TextFullTask()
