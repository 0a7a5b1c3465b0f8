"""Data of a proxy task as frozen arrays, checked and fingerprinted once, on the driver."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from autoshrink_ray.contracts import ImageShape, TextShape
from autoshrink_ray.errors import DataError

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Words = npt.NDArray[np.int32]

_WHITE = 255
"""Largest value of a pixel."""

_STATISTICS_CHUNK = 1024
"""Images whose sums are taken at once: bounds the memory of the statistics."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Labelled images in two splits. The arrays are read-only.

    What is computed from the arrays is computed once, on construction; a copy that travels to
    another process brings it along.

    Attributes:
        train_images: uint8 of shape (N, H, W, C), C-contiguous.
        train_labels: int64 of shape (N,): class numbers.
        valid_images: uint8 of shape (M, H, W, C).
        valid_labels: int64 of shape (M,).
        class_names: Name of each class; at least 2.
        left_out: What is wrong with each image that was left out because it is damaged.
        mean: Mean of each channel of the training images, pixels in [0, 1].
        std: Standard deviation of each channel; 1 for a constant channel, which has no scale.
        fingerprint: SHA-256 over all arrays, their shapes and the class names.

    Raises:
        DataError: If a split is empty, an array has another type or shape, or a label names no
            class.
    """

    train_images: Pixels
    train_labels: Labels
    valid_images: Pixels
    valid_labels: Labels
    class_names: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    mean: tuple[float, ...] = field(init=False)
    std: tuple[float, ...] = field(init=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        if len(self.class_names) < 2:
            raise DataError(f"a data set has at least 2 classes, got {list(self.class_names)}")
        for split in ("train", "valid"):
            self._check_split(split)
        train, valid = self.train_images.shape[1:], self.valid_images.shape[1:]
        if train != valid:
            raise DataError(
                f"train and valid images have one shape (height, width, channels), "
                f"got {train} and {valid}"
            )
        arrays = _freeze(self, "train_images", "train_labels", "valid_images", "valid_labels")
        mean, std = channel_statistics(self.train_images)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)
        object.__setattr__(self, "fingerprint", _fingerprint("images", self.class_names, arrays))

    def _check_split(self, split: str) -> None:
        images, labels = getattr(self, f"{split}_images"), getattr(self, f"{split}_labels")
        _check_array(f"{split}_images", images, np.uint8, 4)
        _check_array(f"{split}_labels", labels, np.int64, 1)
        if len(images) != len(labels):
            raise DataError(
                f"each {split} image has a label, got {len(images)} images and {len(labels)} labels"
            )
        check_labels(labels, len(self.class_names), f"{split}_labels")

    @property
    def shape(self) -> ImageShape:
        """Shape of the classification problem."""
        _, height, width, channels = self.train_images.shape
        return ImageShape(channels, height, width, len(self.class_names))

    @property
    def summary(self) -> str:
        """One line for people."""
        shape = self.shape
        line = (
            f"{len(self.train_images):,} training and {len(self.valid_images):,} validation images "
            f"of {shape.height} x {shape.width} x {shape.channels}, {shape.classes:,} classes"
        )
        if not self.left_out:
            return line
        return f"{line}; {len(self.left_out):,} damaged and left out, the first: {self.left_out[0]}"

    def __repr__(self) -> str:
        return f"ImageSet({self.summary})"


@dataclass(frozen=True, eq=False, repr=False)
class TextSet:
    """Numbered words in three splits. The arrays are read-only.

    Attributes:
        train: int32 of shape (N,): word numbers in reading order, at least 2.
        valid: The same for validation.
        test: The same for the final test.
        vocabulary: Word of each number; V different ones.
        word_vectors: float32 of shape (V, D), rows without a vector 0; None for no vectors.
        has_vector: bool of shape (V,): which rows of `word_vectors` are given.
        fingerprint: SHA-256 over all arrays, their shapes and the vocabulary.

    Raises:
        DataError: If a split has fewer than 2 words, an array has another type or shape, or a
            number names no word.
    """

    train: Words
    valid: Words
    test: Words
    vocabulary: tuple[str, ...]
    word_vectors: npt.NDArray[np.float32] | None = None
    has_vector: npt.NDArray[np.bool_] | None = None
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise DataError("the words of a vocabulary are different, got one twice")
        for split in ("train", "valid", "test"):
            self._check_split(split)
        names = ["train", "valid", "test"]
        if (self.word_vectors is None) != (self.has_vector is None):
            raise DataError("word_vectors and has_vector come together, got only one of them")
        if self.word_vectors is not None and self.has_vector is not None:
            self._check_vectors(self.word_vectors, self.has_vector)
            names += ["word_vectors", "has_vector"]
        arrays = _freeze(self, *names)
        object.__setattr__(self, "fingerprint", _fingerprint("text", self.vocabulary, arrays))

    def _check_split(self, split: str) -> None:
        words = getattr(self, split)
        _check_array(split, words, np.int32, 1)
        if len(words) < 2:
            raise DataError(f"a text has at least 2 words, got {len(words)} in {split}")
        _check_range(words, len(self.vocabulary), split, "word number")

    def _check_vectors(
        self, vectors: npt.NDArray[np.float32], given: npt.NDArray[np.bool_]
    ) -> None:
        _check_array("word_vectors", vectors, np.float32, 2)
        _check_array("has_vector", given, np.bool_, 1)
        if not len(vectors) == len(given) == len(self.vocabulary):
            raise DataError(
                f"word_vectors and has_vector have a row for each of the "
                f"{len(self.vocabulary)} words, got {len(vectors)} and {len(given)}"
            )
        if not np.isfinite(vectors).all():
            raise DataError("word vectors are finite, got inf or NaN")

    @property
    def shape(self) -> TextShape:
        """Shape of the language-modelling problem."""
        return TextShape(len(self.vocabulary))

    @property
    def summary(self) -> str:
        """One line for people."""
        line = (
            f"{len(self.train):,} training, {len(self.valid):,} validation and {len(self.test):,} "
            f"test words, vocabulary of {len(self.vocabulary):,}"
        )
        if self.has_vector is None:
            return line
        return f"{line}, {int(self.has_vector.sum()):,} of them with a vector"

    def __repr__(self) -> str:
        return f"TextSet({self.summary})"


def check_labels(labels: Labels, classes: int, place: str) -> None:
    """Checks that all labels are class numbers.

    Args:
        labels: int64 of shape (N,).
        classes: Number of classes.
        place: What an error message calls their origin.

    Raises:
        DataError: Naming the first label outside 0..classes-1 and its position.
    """
    _check_range(labels, classes, place, "label")


def _check_range(numbers: npt.NDArray[Any], count: int, place: str, what: str) -> None:
    wrong = np.flatnonzero((numbers < 0) | (numbers >= count))
    if len(wrong):
        raise DataError(
            f"{place}: a {what} is one of 0..{count - 1}, "
            f"got {numbers[wrong[0]]} at position {wrong[0]}"
        )


def _check_array(name: str, array: Any, dtype: type[np.generic], dimensions: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != dimensions:
        got = (
            f"{array.dtype} array of shape {array.shape}"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise DataError(
            f"{name} is a {np.dtype(dtype)} array with {dimensions} dimension(s), got {got}"
        )
    if not array.size:
        raise DataError(f"{name} is not empty, got shape {array.shape}")
    if not array.flags.c_contiguous:
        raise DataError(f"{name} is C-contiguous, got strides {array.strides}")


def _freeze(holder: object, *names: str) -> dict[str, npt.NDArray[Any]]:
    """Replaces the arrays by read-only views, as a process that Ray hands them to has them."""
    for name in names:
        view = getattr(holder, name).view()
        view.flags.writeable = False
        object.__setattr__(holder, name, view)
    return {name: getattr(holder, name) for name in names}


def _fingerprint(kind: str, names: Iterable[str], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    layout = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    header = json.dumps([kind, list(names), layout]).encode()
    digest = hashlib.sha256(header)  # JSON is self-delimiting: no array can pass for header
    for array in arrays.values():
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def channel_statistics(images: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, pixels in [0, 1], from exact sums.

    Args:
        images: uint8 of shape (N, H, W, C).

    Returns:
        C means and C standard deviations; that of a constant channel is 1, it has no scale.
    """
    channels = images.shape[-1]
    sums = np.zeros(channels, np.int64)
    squares = np.zeros(channels, np.int64)
    for start in range(0, len(images), _STATISTICS_CHUNK):
        chunk = images[start : start + _STATISTICS_CHUNK].reshape(-1, channels).astype(np.int64)
        sums += chunk.sum(axis=0)
        squares += (chunk * chunk).sum(axis=0)
    count = images.size // channels
    mean = [total / (count * _WHITE) for total in sums.tolist()]
    std = [
        math.sqrt(count * square - total * total) / (count * _WHITE)
        for total, square in zip(sums.tolist(), squares.tolist(), strict=True)
    ]
    return tuple(mean), tuple(value or 1.0 for value in std)
