from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autoshrink_ray.contracts import ImageShape, TextShape
from autoshrink_ray.errors import DataError
from tests.trainables.data.files import Pixels, random_pixels
from trainables.data import ImageSet, TextSet
from trainables.data import sets as sets_module


def image_parts(**changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "train_images": random_pixels(4, 3, 5, 2),
        "train_labels": np.array([0, 1, 2, 1]),
        "valid_images": random_pixels(2, 3, 5, 2, seed=1),
        "valid_labels": np.array([2, 0]),
        "class_names": ("ant", "bee", "cat"),
    }
    return parts | changes


def text_parts(**changes: Any) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "train": np.array([0, 1, 2, 1], np.int32),
        "valid": np.array([2, 1], np.int32),
        "test": np.array([0, 1, 1], np.int32),
        "vocabulary": ("to", "be", "or"),
    }
    return parts | changes


def vectors() -> dict[str, Any]:
    return {
        "word_vectors": np.array([[1, 2], [0, 0], [3, 4]], np.float32),
        "has_vector": np.array([True, False, True]),
    }


def test_shape_and_summary_of_images() -> None:
    data = ImageSet(**image_parts())
    assert data.shape == ImageShape(channels=2, height=3, width=5, classes=3)
    assert data.summary == "4 training and 2 validation images of 3 x 5 x 2, 3 classes"


def test_shape_and_summary_of_text() -> None:
    data = TextSet(**text_parts(), **vectors())
    assert data.shape == TextShape(vocabulary=3)
    assert data.summary == (
        "4 training, 2 validation and 3 test words, vocabulary of 3, 2 of them with a vector"
    )


@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 4), st.just(3))
    )
)
def test_statistics_are_those_of_the_training_images(images: Pixels) -> None:
    labels = np.zeros(len(images), np.int64)
    data = ImageSet(
        **image_parts(
            train_images=images, train_labels=labels, valid_images=images, valid_labels=labels
        )
    )
    scaled = images / 255
    np.testing.assert_allclose(data.mean, scaled.mean(axis=(0, 1, 2)), atol=1e-12)
    std = scaled.std(axis=(0, 1, 2))
    constant = np.ptp(images, axis=(0, 1, 2)) == 0
    np.testing.assert_allclose(data.std, np.where(constant, 1, std), atol=1e-12)


def test_statistics_over_more_images_than_one_chunk() -> None:
    images = random_pixels(2500, 1, 1, 1)
    labels = np.zeros(2500, np.int64)
    data = ImageSet(
        **image_parts(
            train_images=images, train_labels=labels, valid_images=images, valid_labels=labels
        )
    )
    assert data.mean[0] == pytest.approx(images.mean() / 255, abs=1e-12)
    assert data.std[0] == pytest.approx(images.std() / 255, abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": np.array([0, 1, 3, 1])}, r"one of 0\.\.2, got 3 at position 2"),
        ({"valid_labels": np.array([-1, 0])}, r"one of 0\.\.2, got -1 at position 0"),
        ({"train_labels": np.array([0, 1, 2])}, "got 4 images and 3 labels"),
        ({"train_labels": np.array([0, 1, 2, 1], np.int32)}, "train_labels is a int64 array"),
        ({"train_images": random_pixels(4, 3, 5)}, r"train_images .* got uint8 .* \(4, 3, 5\)"),
        ({"train_images": random_pixels(4, 3, 5, 2).astype(np.float32)}, "got float32 array"),
        ({"train_images": [[0]]}, "train_images is a uint8 array.* got list"),
        ({"train_images": random_pixels(4, 5, 3, 2).transpose(0, 2, 1, 3)}, "C-contiguous"),
        (
            {"valid_images": random_pixels(0, 3, 5, 2), "valid_labels": np.array([], np.int64)},
            "valid_images is not empty",
        ),
        ({"valid_images": random_pixels(2, 3, 4, 2)}, r"got \(3, 5, 2\) and \(3, 4, 2\)"),
        ({"class_names": ("ant",)}, r"at least 2 classes, got \['ant'\]"),
    ],
)
def test_images_that_break_a_rule_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ImageSet(**image_parts(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": np.array([1, 3], np.int32)}, r"valid: .* one of 0\.\.2, got 3 at position 1"),
        ({"test": np.array([-1, 0], np.int32)}, r"test: .* got -1"),
        ({"train": np.array([], np.int32)}, "train is not empty"),
        ({"train": np.array([1], np.int32)}, "at least 2 words, got 1 in train"),
        ({"train": np.array([0, 1])}, "train is a int32 array"),
        ({"vocabulary": ("to", "be", "to")}, "different"),
        ({"word_vectors": np.zeros((3, 2), np.float32)}, "come together"),
        (vectors() | {"word_vectors": np.zeros((2, 2), np.float32)}, "3 words, got 2 and 3"),
        (vectors() | {"word_vectors": np.zeros((3, 2))}, "word_vectors is a float32 array"),
        (vectors() | {"word_vectors": np.full((3, 2), np.nan, np.float32)}, "finite"),
        (vectors() | {"has_vector": np.array([1, 0, 1])}, "has_vector is a bool array"),
    ],
)
def test_texts_that_break_a_rule_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TextSet(**text_parts(**changes))


def test_equal_content_has_equal_fingerprints() -> None:
    assert ImageSet(**image_parts()).fingerprint == ImageSet(**image_parts()).fingerprint
    assert TextSet(**text_parts()).fingerprint == TextSet(**text_parts()).fingerprint


@pytest.mark.parametrize("name", ["train_images", "train_labels", "valid_images", "valid_labels"])
def test_one_pixel_or_label_changes_the_fingerprint(name: str) -> None:
    changed = image_parts()[name].copy()
    changed.flat[0] = (int(changed.flat[0]) + 1) % 3
    other = ImageSet(**image_parts(**{name: changed}))
    assert other.fingerprint != ImageSet(**image_parts()).fingerprint


def test_shape_and_class_names_are_part_of_the_fingerprint() -> None:
    data = ImageSet(**image_parts())
    turned = ImageSet(
        **image_parts(
            train_images=image_parts()["train_images"].reshape(4, 5, 3, 2),
            valid_images=image_parts()["valid_images"].reshape(2, 5, 3, 2),
        )
    )
    renamed = replace(data, class_names=("ant", "bee", "cow"))
    assert len({data.fingerprint, turned.fingerprint, renamed.fingerprint}) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"train": np.array([0, 1, 2, 2], np.int32)},
        {"valid": np.array([2, 0], np.int32)},
        {"test": np.array([0, 1, 2], np.int32)},
        {"vocabulary": ("to", "be", "and")},
        vectors(),
    ],
)
def test_one_word_or_vector_changes_the_fingerprint(changes: dict[str, Any]) -> None:
    other = TextSet(**text_parts(**changes))
    assert other.fingerprint != TextSet(**text_parts()).fingerprint


def test_arrays_are_read_only_and_the_callers_stay_writable() -> None:
    parts = image_parts()
    data = ImageSet(**parts)
    with pytest.raises(ValueError, match="read-only"):
        data.train_images[0, 0, 0, 0] = 0
    with pytest.raises(FrozenInstanceError):
        data.fingerprint = ""  # type: ignore[misc]
    parts["train_labels"][0] = 1


@pytest.mark.parametrize(
    "data",
    [ImageSet(**image_parts()), TextSet(**text_parts(), **vectors())],
    ids=["images", "text"],
)
def test_travels_without_copies_or_a_second_fingerprint(
    data: ImageSet | TextSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("computed a second time")

    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(data, protocol=5, buffer_callback=buffers.append)
    monkeypatch.setattr(sets_module, "_fingerprint", refuse)
    monkeypatch.setattr(sets_module, "channel_statistics", refuse)
    monkeypatch.setattr(sets_module, "_check_array", refuse)
    arrived = pickle.loads(content, buffers=buffers)  # noqa: S301 - our own bytes
    assert vars(arrived).keys() == vars(data).keys()
    for name, value in vars(data).items():
        if isinstance(value, np.ndarray):
            assert np.shares_memory(value, getattr(arrived, name))
            assert not getattr(arrived, name).flags.writeable
        else:
            assert getattr(arrived, name) == value
