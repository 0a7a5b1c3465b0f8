"""From words to an encoded text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from autoshrink_ray.contracts import DataRequest
from trainables.data.sets import TextSet, Words
from trainables.data.word_vectors import read_word_vectors

END_OF_LINE = "<eos>"
UNKNOWN = "<unk>"

Line = Sequence[str]


def text_set(
    train: Iterable[Line], valid: Iterable[Line], test: Iterable[Line], request: DataRequest
) -> TextSet:
    """Numbers the words of three splits in order of first appearance.

    A line's words are followed by `<eos>`.

    Raises:
        DataError: If a split has no words or the word vectors asked for cannot be read.
    """
    numbers: dict[str, int] = {}
    train_words, valid_words, test_words = (
        _numbered(lines, numbers) for lines in (train, valid, test)
    )
    vocabulary = tuple(numbers)
    location = request.options.get("word_vectors")
    vectors, given = (None, None) if location is None else read_word_vectors(location, vocabulary)
    return TextSet(train_words, valid_words, test_words, vocabulary, vectors, given)


def _numbered(lines: Iterable[Line], numbers: dict[str, int]) -> Words:
    words = (word for line in lines for word in (*line, END_OF_LINE))
    return np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int32)
