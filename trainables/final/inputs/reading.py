"""From a data request to the images of a full training, checked against the network."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import torch

from autoshrink_ray import plugins
from autoshrink_ray.contracts import DataRequest, ImageShape
from autoshrink_ray.errors import ConfigError, DataError
from autoshrink_ray.files import digest
from autoshrink_ray.storage import join
from search_spaces.network import NetworkFile
from trainables.data import ImageSet, imagefolder, parquet
from trainables.data.assemble import Picture, picture
from trainables.data.image_folders import list_folders
from trainables.data.options import ImageOptions
from trainables.data.parquet_tables import (
    TRAIN,
    VALID,
    Table,
    numbered_classes,
    open_table,
    table_folder,
)
from trainables.data.sets import channel_statistics, check_labels
from trainables.data.subset import choose_per_class
from trainables.final.image_recipe import ImageRecipe
from trainables.final.inputs.sources import FolderSource, ImageData, Item, MemorySource, Source
from trainables.final.inputs.streaming import TableSource
from trainables.final.inputs.transforms import Centre

_STATISTICS_IMAGES = 1024
"""Images of which mean and standard deviation are taken where not all are in memory."""

_MEMORY_PART = 4
"""Tables whose images would take more than one in so many parts of the memory are streamed."""


def load_images(request: DataRequest, network: NetworkFile, recipe: ImageRecipe) -> ImageData:
    """Reads a data set, or what is needed to read it batch by batch.

    Raises:
        ConfigError: If it should be streamed and cannot.
        DataError: With the rule and the value, also where the data contradict the network.
    """
    shape = network.shape
    if not isinstance(shape, ImageShape):
        raise DataError(f"image networks have images as input, got {network.input}")
    request = _completed(request, shape, recipe)
    reader = plugins.dataset(request.name)
    if recipe.stream and reader is not parquet:
        raise ConfigError(f"stream is for data of the kind parquet:DIR, got {request.spec!r}")
    if reader is imagefolder:
        return _folders(request, shape, recipe)
    if reader is parquet and _is_streamed(request, shape, recipe):
        return _tables(request, shape, recipe)
    images = reader(request)
    if not isinstance(images, ImageSet):
        raise DataError(f"image networks train on images, got {request.spec!r}: {images.summary}")
    return _in_memory(request.spec, images, shape, recipe)


def _completed(request: DataRequest, shape: ImageShape, recipe: ImageRecipe) -> DataRequest:
    """The request with what the recipe says, where it does not say so itself."""
    names = ("train_per_class", "valid_per_class", "image_size", "max_bad_fraction")
    options = {name: getattr(recipe, name) for name in names}
    options |= {name: value for name, value in request.options.items() if value is not None}
    is_square = shape.height == shape.width
    if options["image_size"] is None and recipe.crop_area is None and is_square:
        options["image_size"] = shape.height
    return DataRequest(request.spec, options)


def _in_memory(spec: str, images: ImageSet, shape: ImageShape, recipe: ImageRecipe) -> ImageData:
    _check_classes(shape, images.class_names)
    _check_channels(shape, images.shape.channels)
    return ImageData(
        MemorySource(f"{spec} train", images.train_labels, images.train_images),
        MemorySource(f"{spec} valid", images.valid_labels, images.valid_images),
        images.class_names,
        shape,
        *statistics(recipe, shape.channels, (images.mean, images.std)),
        images.fingerprint,
        images.summary,
    )


def _folders(request: DataRequest, shape: ImageShape, recipe: ImageRecipe) -> ImageData:
    options = ImageOptions.of(request)
    found = list_folders(request)
    _check_classes(shape, found.class_names)
    parts = (
        ("train", "train", found.train, options.train_per_class),
        ("valid", found.valid_name, found.valid, options.valid_per_class),
    )
    content, sources = [], []
    for split, name, files, per_class in parts:
        chosen = choose_per_class(files.labels, per_class, options.seed, split).tolist()
        names = tuple(files.files[place] for place in chosen)
        place = join(found.source.location, name)
        sources.append(FolderSource(place, files.labels[chosen], found.source, names))
        sizes = [files.sizes[place] for place in chosen]
        content.append([[name.partition("/")[2] for name in names], sizes])
    train, valid = sources
    spread = np.linspace(0, len(train) - 1, min(len(train), _STATISTICS_IMAGES)).astype(int)
    return ImageData(
        train,
        valid,
        found.class_names,
        shape,
        *_sampled_statistics(recipe, shape, train, map(train.item, spread.tolist())),
        digest(json.dumps(["folders", found.class_names, content]).encode()),
        _summary(train, valid, shape, "read from their files in each epoch"),
    )


def _is_streamed(request: DataRequest, shape: ImageShape, recipe: ImageRecipe) -> bool:
    options = ImageOptions.of(request)
    is_part = options.train_per_class is not None or options.valid_per_class is not None
    if recipe.stream and is_part:
        raise ConfigError(
            "a stream takes all images: leave out train_per_class and valid_per_class, or stream"
        )
    if recipe.stream is not None or is_part:
        return bool(recipe.stream)
    with open_table(table_folder(request), TRAIN) as train:
        rows = sum(train.group_sizes())
        pixels = _pixels_each(train, options.image_size) if rows else 0
    return rows * pixels * shape.channels > _memory() / _MEMORY_PART


def _memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _pixels_each(table: Table, size: int | None) -> int:
    """Height times width of an image in memory, by the first that can be decoded."""
    if size is not None:
        return size * size
    rows = (image for part in table.scan(0) for image in part.column("image").to_pylist())
    found = (picture(table.place, content) for content in rows)
    first = next((each for each in found if isinstance(each, Picture)), None)
    return math.prod(first.pixels.shape[:2]) if first else 0


def _tables(request: DataRequest, shape: ImageShape, recipe: ImageRecipe) -> ImageData:
    folder, seed = table_folder(request), ImageOptions.of(request).seed
    with open_table(folder, TRAIN) as train, open_table(folder, VALID) as valid:
        labels = [train.labels(), valid.labels()]
        names = tuple(train.class_names() or numbered_classes(train.place, labels[0]))
        sizes = [train.size, valid.size]
        sources = tuple(
            TableSource(table.place, folder, file, len(found), len(table.group_sizes()), seed)
            for table, file, found in zip((train, valid), (TRAIN, VALID), labels, strict=True)
        )
    _check_classes(shape, names)
    for source, found in zip(sources, labels, strict=True):
        if not len(found):
            raise DataError(f"{source.place} has no images")
        check_labels(found, len(names), source.place)
    train_source, valid_source = sources
    sample = islice(train_source.in_order(0, 1), _STATISTICS_IMAGES)
    content = [digest(found.tobytes()) for found in labels]
    return ImageData(
        train_source,
        valid_source,
        names,
        shape,
        *_sampled_statistics(recipe, shape, train_source, sample),
        digest(json.dumps(["tables", names, content, sizes]).encode()),
        _summary(train_source, valid_source, shape, "streamed from their table in each epoch"),
    )


def _summary(train: Source, valid: Source, shape: ImageShape, how: str) -> str:
    return (
        f"{len(train):,} training and {len(valid):,} validation images, {shape.classes:,} classes, "
        f"{how}"
    )


def _check_classes(shape: ImageShape, names: Sequence[str]) -> None:
    if len(names) != shape.classes:
        raise DataError(
            f"the network tells {shape.classes:,} classes apart, the data have {len(names):,}: "
            f"derive a network for these data"
        )


def _check_channels(shape: ImageShape, channels: int) -> None:
    if channels != shape.channels:
        raise DataError(
            f"the network takes images of {shape.channels} channel(s), the data's have {channels}: "
            f"derive a network for these data"
        )


Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, pixels in [0, 1]."""


def statistics(recipe: ImageRecipe, channels: int, found: Statistics) -> Statistics:
    """The recipe's statistics, one value for each channel, else those that were `found`.

    Raises:
        DataError: If the recipe has neither one value nor one for each channel.
    """
    for name, values in (("mean", recipe.mean), ("std", recipe.std)):
        if values is not None and len(values) not in (1, channels):
            raise DataError(
                f"{name} has one value, or one for each channel of the images: {channels}, "
                f"got {len(values)}: {values}"
            )
    mean, std = recipe.mean or found[0], recipe.std or found[1]
    return _spread(mean, channels), _spread(std, channels)


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values


def _sampled_statistics(
    recipe: ImageRecipe, shape: ImageShape, source: Source, sample: Iterable[Item]
) -> Statistics:
    """Statistics of a sample as evaluation sees it; of its first image if no more is needed.

    Raises:
        DataError: If no image of the sample can be read, as where all are in colour for a
            network of gray ones.
    """
    centre = Centre((shape.height, shape.width), recipe.crop)
    read = source.reader(shape.channels, shared=False)
    images, errors = [], []
    for item in sample:
        try:
            images.append(centre(read(item)))
        except DataError as error:
            errors.append(error)
            continue
        if recipe.mean is not None and recipe.std is not None:
            break
    if not images:
        raise errors[0]
    pixels = np.ascontiguousarray(torch.stack(images).permute(0, 2, 3, 1).numpy())
    return statistics(recipe, shape.channels, channel_statistics(pixels))
