"""From labelled images, wherever they come from, to an `ImageSet`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoshrink_ray.errors import DataError
from trainables.data.options import ImageOptions
from trainables.data.pixels import decode, resized
from trainables.data.sets import ImageSet, Labels, Pixels, check_labels
from trainables.data.subset import choose_per_class


@dataclass(frozen=True)
class Picture:
    """One decoded image.

    Attributes:
        place: What an error message calls it: file, row.
        pixels: uint8 of shape (H, W, 1) for gray or (H, W, 3) for RGB.
    """

    place: str
    pixels: Pixels


@dataclass(frozen=True)
class Split:
    """Images of which the labels are known and only the chosen ones are read.

    Attributes:
        place: What an error message calls the split: file or folder.
        labels: Class numbers, int64 of shape (N,).
        read: The pictures at sorted positions 0..N-1, in that order; in place of one that is
            damaged, the error that says so.
    """

    place: str
    labels: Labels
    read: Callable[[npt.NDArray[np.int64]], Iterable[Picture | DataError]]


class BadImages:
    """Counts the images of a split that cannot be decoded, up to what is allowed.

    Args:
        place: What an error message calls the split.
        images: Number of its images.
        max_fraction: Part of them that may be bad.

    Attributes:
        errors: What is wrong with each, in the order of `add`.
    """

    def __init__(self, place: str, images: int, max_fraction: float) -> None:
        self.errors: list[str] = []
        self._place = place
        self._images = images
        self._max_fraction = max_fraction

    def add(self, error: str) -> None:
        """Notes one more.

        Raises:
            DataError: If that is one too many; with the number, the fraction and the first.
        """
        self.errors.append(error)
        self.check(len(self.errors))

    def check(self, count: int) -> None:
        """Raises DataError if `count` bad images are too many."""
        if count <= self._max_fraction * self._images:
            return
        first = self.errors[0] if self.errors else "found by another process"
        if not self._max_fraction:
            raise DataError(first)
        raise DataError(
            f"{self._place}: {count} or more of {self._images} images cannot be decoded, "
            f"a fraction of {count / self._images:.3g}, and max_bad_fraction is "
            f"{self._max_fraction:g}; the first: {first}"
        )


def picture(place: str, content: bytes | None) -> Picture | DataError:
    """Decodes the picture in a file's `content`; the error that says so where it is damaged."""
    if content is None:
        return DataError(f"{place}: the image's bytes are missing")
    try:
        return Picture(place, decode(content, place))
    except DataError as error:
        return error


def in_memory(place: str, images: Pixels, labels: Labels) -> Split:
    """A split over decoded images (N, H, W, C) and their labels (N,)."""

    def read(positions: npt.NDArray[np.int64]) -> Iterator[Picture]:
        for position in positions.tolist():
            yield Picture(f"{place}, image {position}", images[position])

    return Split(place, labels, read)


def image_set(
    train: Split, valid: Split, class_names: Sequence[str], options: ImageOptions
) -> ImageSet:
    """Chooses the subset, reads it and brings all images to one shape.

    The images stay gray if all of them are; otherwise gray ones become RGB.

    Raises:
        DataError: If a split is empty, a label names no class, more images are damaged than
            `options` allow or the images differ in size.
    """
    for split in (train, valid):
        if not len(split.labels):
            raise DataError(f"{split.place} has no images")
        check_labels(split.labels, len(class_names), split.place)
    seed = options.seed
    chosen_train = choose_per_class(train.labels, options.train_per_class, seed, "train")
    chosen_valid = choose_per_class(valid.labels, options.valid_per_class, seed, "valid")
    train_pictures, train_labels, bad_train = _read(train, chosen_train, options)
    valid_pictures, valid_labels, bad_valid = _read(valid, chosen_valid, options)
    channels = _common_channels([*train_pictures, *valid_pictures])
    return ImageSet(
        _stack(train_pictures, channels),
        train_labels,
        _stack(valid_pictures, channels),
        valid_labels,
        tuple(class_names),
        (*bad_train, *bad_valid),
    )


def _read(
    split: Split, chosen: npt.NDArray[np.int64], options: ImageOptions
) -> tuple[list[Picture], Labels, list[str]]:
    """Pictures that can be decoded, their labels, and what is wrong with the others."""
    bad = BadImages(split.place, len(chosen), options.max_bad_fraction)
    pictures, kept = [], []
    for position, found in zip(chosen.tolist(), split.read(chosen), strict=True):
        if isinstance(found, DataError):
            bad.add(str(found))
        else:
            pictures.append(Picture(found.place, resized(found.pixels, options.image_size)))
            kept.append(position)
    return pictures, np.ascontiguousarray(split.labels[kept]), bad.errors


def _common_channels(pictures: list[Picture]) -> int:
    first = pictures[0]
    height, width = first.pixels.shape[:2]
    for picture in pictures:
        if picture.pixels.shape[:2] != (height, width):
            odd_height, odd_width = picture.pixels.shape[:2]
            raise DataError(
                f"images have one size, got {odd_height} x {odd_width} in {picture.place} and "
                f"{height} x {width} in {first.place}; image_size brings them to one"
            )
    return max(int(picture.pixels.shape[2]) for picture in pictures)


def _stack(pictures: list[Picture], channels: int) -> Pixels:
    height, width = pictures[0].pixels.shape[:2]
    stacked = np.empty((len(pictures), height, width, channels), np.uint8)
    for position, picture in enumerate(pictures):
        stacked[position] = picture.pixels  # a gray channel spreads over all
    return stacked
