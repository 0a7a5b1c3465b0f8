"""Data sets that need no download and no files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from autoshrink_ray.contracts import DataRequest
from trainables.data.assemble import image_set, in_memory
from trainables.data.options import ImageOptions, no_argument
from trainables.data.sets import ImageSet, Labels, TextSet
from trainables.data.tokens import UNKNOWN, Line, text_set

_DARKEST = 16
"""Largest value of a pixel of scikit-learn's digits."""

_VALID_PART = 5
"""One image in so many is for validation."""

_BLOCK = 20
"""Sentences that stay together when a text is split."""

_VALID_BLOCK, _TEST_BLOCK, _BLOCKS = 8, 9, 10
"""Of ten blocks in a row, the one for validation and the one for the test."""

_SEEN_ENOUGH = 3
"""Rarer words of the training text become `<unk>`."""

_RULER = re.compile(r"^[^\w\n]+$", re.MULTILINE)
"""A line without a word: an underlined heading's second line, a table's border, or blank."""

_WORD = re.compile(r"\w+|[^\w\s]")
_SENTENCE_END = re.compile(r"(?<=[.:!?])\s+")


def digits(request: DataRequest) -> ImageSet:
    """Handwritten digits, 8 x 8, gray: scikit-learn's `load_digits`.

    The last fifth of each class is for validation; it comes from other writers than the first
    images.

    Raises:
        DataError: If the spec has an argument or an option is wrong.
    """
    from sklearn.datasets import load_digits  # takes a second: only when asked for

    no_argument(request)
    options = ImageOptions.of(request)
    loaded = load_digits()
    images = np.rint(loaded.images * (255 / _DARKEST)).astype(np.uint8)[..., None]
    labels = loaded.target.astype(np.int64)
    is_valid = _last_of_each_class(labels)
    return image_set(
        in_memory("digits train", images[~is_valid], labels[~is_valid]),
        in_memory("digits valid", images[is_valid], labels[is_valid]),
        [str(name) for name in loaded.target_names],
        options,
    )


def _last_of_each_class(labels: Labels) -> npt.NDArray[np.bool_]:
    is_last = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        positions = np.flatnonzero(labels == label)
        is_last[positions[len(positions) - len(positions) // _VALID_PART :]] = True
    return is_last


def pydoc(request: DataRequest) -> TextSet:
    """English text about Python: the help topics that CPython ships as `pydoc_data.topics`.

    A line is a sentence of lower-case words and punctuation marks. Blocks of sentences go to the
    three splits in turn, so that these are alike; words that the training text has fewer than 3
    times are `<unk>`. The text differs between Python versions.

    Raises:
        DataError: If the spec has an argument or the word vectors asked for cannot be read.
    """
    from pydoc_data.topics import topics

    no_argument(request)
    splits: tuple[list[Line], list[Line], list[Line]] = ([], [], [])
    for position, sentence in enumerate(_sentences(topics)):
        block = position // _BLOCK % _BLOCKS
        splits[{_VALID_BLOCK: 1, _TEST_BLOCK: 2}.get(block, 0)].append(sentence)
    seen = Counter(word for sentence in splits[0] for word in sentence)
    train, valid, test = (
        [[w if seen[w] >= _SEEN_ENOUGH else UNKNOWN for w in sentence] for sentence in split]
        for split in splits
    )
    return text_set(train, valid, test, request)


def _sentences(topics: dict[str, str]) -> Iterator[Line]:
    for name in sorted(topics):
        for paragraph in re.split(r"\n{2,}", _RULER.sub("", topics[name].lower())):
            for sentence in _SENTENCE_END.split(paragraph):
                if words := _WORD.findall(sentence):
                    yield words
