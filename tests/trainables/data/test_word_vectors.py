from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from autoshrink_ray.errors import DataError
from trainables.data.word_vectors import read_word_vectors

VOCABULARY = ("to", "be", "naïve")


def test_rows_are_in_the_vocabularys_order(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("naïve 1 2 3\nto 4 5 6 \n", encoding="utf-8")
    for location in (str(path), path.as_uri()):
        vectors, given = read_word_vectors(location, VOCABULARY)
        assert vectors.dtype == np.float32
        assert vectors.tolist() == [[4, 5, 6], [0, 0, 0], [1, 2, 3]]
        assert given.tolist() == [True, False, True]


def test_a_compressed_file_gives_the_same(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt.gz"
    path.write_bytes(gzip.compress(b"to 4 5 6\n"))
    assert read_word_vectors(str(path), VOCABULARY)[0][0].tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("to 1 2\nother 1\n", "line 2: a word and 2 numbers, got 2 columns"),
        ("to 1 2\n\nbe 1 2\n", "line 2: a word and 2 numbers, got 0 columns"),
        ("to\n", "line 1: a word and 1 numbers, got 1 columns"),
        ("to 1 x\n", "line 1: a word vector is made of numbers: .*'x'"),
        ("to 1 nan\n", "line 1: a word vector is made of finite numbers"),
        ("to 1 2\nbe 1 -inf\n", "line 2: a word vector is made of finite numbers"),
        ("to 1 1e39\n", "line 1: a word vector is made of finite numbers"),
        ("other 1 2\n", "at least one word is in the vocabulary, got none"),
        ("", "at least one word is in the vocabulary, got none"),
    ],
)
def test_a_broken_file_is_named_with_the_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "glove.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"glove\.txt.*{message}"):
        read_word_vectors(str(path), VOCABULARY)


@pytest.mark.parametrize("name", ["nowhere.txt", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot read the word vectors"):
        read_word_vectors(str(tmp_path / name), VOCABULARY)
