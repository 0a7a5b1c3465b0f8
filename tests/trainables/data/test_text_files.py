from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoshrink_ray.errors import DataError
from tests.trainables.data.files import request
from trainables.data import TextSet, text

words = st.text("abcdeé'<>", min_size=1, max_size=4)
texts = st.lists(st.lists(words, max_size=5), min_size=1, max_size=6).filter(any)


def write(folder: Path, train: str, valid: str, test: str) -> None:
    for name, content in (("train", train), ("valid", valid), ("test", test)):
        (folder / f"{name}.txt").write_text(content, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, " to be \n or not\n", "to be\n", "that is\n")
    return tmp_path


def load(folder: Path | str, **options: Any) -> TextSet:
    return text(request(f"text:{folder}", **options))


def test_words_are_numbered_in_order_of_first_appearance(folder: Path) -> None:
    data = load(folder)
    assert data.vocabulary == ("to", "be", "<eos>", "or", "not", "that", "is")
    assert data.train.tolist() == [0, 1, 2, 3, 4, 2]
    assert data.valid.tolist() == [0, 1, 2]
    assert data.test.tolist() == [5, 6, 2]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(train=texts, valid=texts, test=texts)
def test_the_words_can_be_read_back(
    tmp_path: Path, train: list[list[str]], valid: list[list[str]], test: list[list[str]]
) -> None:
    splits = (train, valid, test)
    write(tmp_path, *("".join(" ".join(line) + "\n" for line in split) for split in splits))
    data = load(tmp_path)
    for split, numbers in zip(splits, (data.train, data.valid, data.test), strict=True):
        expected = [word for line in split for word in (*line, "<eos>")]
        assert [data.vocabulary[number] for number in numbers.tolist()] == expected


def test_a_uri_gives_the_same_as_a_path(folder: Path) -> None:
    assert load(folder.as_uri()).fingerprint == load(folder).fingerprint


def test_line_ends_and_a_byte_order_mark_make_no_difference(folder: Path) -> None:
    expected = load(folder).fingerprint
    (folder / "train.txt").write_bytes(b"\xef\xbb\xbfto be\r\nor not")
    assert load(folder).fingerprint == expected


def test_a_blank_line_is_an_end_of_line_alone(folder: Path) -> None:
    (folder / "valid.txt").write_text("to\n\nbe\n")
    data = load(folder)
    assert [data.vocabulary[number] for number in data.valid.tolist()] == [
        "to",
        "<eos>",
        "<eos>",
        "be",
        "<eos>",
    ]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_missing_file_is_named(folder: Path, split: str) -> None:
    (folder / f"{split}.txt").unlink()
    with pytest.raises(DataError, match=rf"train\.txt, valid\.txt and .*; {split}\.txt is missing"):
        load(folder)


@pytest.mark.parametrize("content", ["", "\n \n"])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_split_without_words_is_refused(folder: Path, split: str, content: str) -> None:
    (folder / f"{split}.txt").write_text(content)
    with pytest.raises(DataError, match=rf"{split}\.txt has no words"):
        load(folder)


def test_text_that_is_not_utf8_is_named_with_its_line(folder: Path) -> None:
    (folder / "valid.txt").write_bytes(b"to be\nor \xff\n")
    with pytest.raises(DataError, match=r"valid\.txt, line 2: text is UTF-8"):
        load(folder)


def test_word_vectors_are_read_for_the_words_that_have_one(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "glove.txt").write_text("be 1 -2.5\nunheard 0 0\nis 1e-3 4\n")
    data = load(folder, word_vectors=str(tmp_path / "glove.txt"))
    assert data.word_vectors is not None
    assert data.has_vector is not None
    assert data.has_vector.tolist() == [False, True, False, False, False, False, True]
    np.testing.assert_array_equal(data.word_vectors[1], np.array([1, -2.5], np.float32))
    np.testing.assert_array_equal(data.word_vectors[6], np.array([1e-3, 4], np.float32))
    assert not data.word_vectors[~data.has_vector].any()
    assert data.fingerprint != load(folder).fingerprint
