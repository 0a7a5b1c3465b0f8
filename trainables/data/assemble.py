"""From labelled images, wherever they come from, to an `ImageSet`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoshrink_ray.errors import DataError
from trainables.data.options import ImageOptions
from trainables.data.pixels import resized
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
        read: The pictures at sorted positions 0..N-1, in that order.
    """

    place: str
    labels: Labels
    read: Callable[[npt.NDArray[np.int64]], Iterable[Picture]]


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
        DataError: If a split is empty, a label names no class, an image is damaged or the images
            differ in size.
    """
    for split in (train, valid):
        if not len(split.labels):
            raise DataError(f"{split.place} has no images")
        check_labels(split.labels, len(class_names), split.place)
    seed = options.seed
    chosen_train = choose_per_class(train.labels, options.train_per_class, seed, "train")
    chosen_valid = choose_per_class(valid.labels, options.valid_per_class, seed, "valid")
    train_pictures = _read(train, chosen_train, options.image_size)
    valid_pictures = _read(valid, chosen_valid, options.image_size)
    channels = _common_channels([*train_pictures, *valid_pictures])
    return ImageSet(
        _stack(train_pictures, channels),
        np.ascontiguousarray(train.labels[chosen_train]),
        _stack(valid_pictures, channels),
        np.ascontiguousarray(valid.labels[chosen_valid]),
        tuple(class_names),
    )


def _read(split: Split, chosen: npt.NDArray[np.int64], size: int | None) -> list[Picture]:
    return [Picture(picture.place, resized(picture.pixels, size)) for picture in split.read(chosen)]


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
