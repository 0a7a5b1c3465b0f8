"""Images in Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import DataError
from autoshrink_ray.storage import Folder, join
from trainables.data.assemble import Picture, Split, image_set
from trainables.data.options import ImageOptions, folder
from trainables.data.pixels import decode
from trainables.data.sets import ImageSet, Labels

_CONTENT = "train.parquet and valid.parquet with columns image (encoded bytes) and label (integer)"
_ROWS = 256
"""Rows read at once: bounds the memory of the rows that are not chosen."""

_MAX_CLASSES = 100_000
"""More than any data set has: a larger label is no class number."""


def parquet(request: DataRequest) -> ImageSet:
    """Reads `parquet:DIR`: DIR/train.parquet and DIR/valid.parquet, DIR a path or a URI.

    Column `image` holds encoded images as bytes, or as a struct with a field `bytes` as Hugging
    Face's data sets do; column `label` holds integers. Classes are named by the training file's
    schema metadata (`classes`, separated by commas, or Hugging Face's features); without, they
    are 0 to the largest training label.

    Raises:
        DataError: If a file or column is missing, a file or image is damaged, or a label is not
            one of the training classes.
    """
    options = ImageOptions.of(request)
    source = folder(request, _CONTENT)
    with _open(source, "train.parquet") as train, _open(source, "valid.parquet") as valid:
        train_split, valid_split = train.split(), valid.split()
        names = train.class_names() or _numbered(train_split)
        return image_set(train_split, valid_split, names, options)


def _numbered(train: Split) -> list[str]:
    largest = int(train.labels.max(initial=0))
    if largest >= _MAX_CLASSES:
        raise DataError(
            f"{train.place}: a label is a class number below {_MAX_CLASSES}, got {largest}"
        )
    return [str(number) for number in range(largest + 1)]


@contextmanager
def _open(source: Folder, name: str) -> Iterator[_Table]:
    place = join(source.location, name)
    if not source.exists(name):
        raise DataError(f"{source.location} holds {_CONTENT}; {name} is missing")
    with _damage_reported(place):
        stream = source.filesystem.open_input_file(f"{source.path}/{name}")
    with stream:
        with _damage_reported(place):
            file = pq.ParquetFile(stream)
        yield _Table(place, file)


@contextmanager
def _damage_reported(place: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{place} is not a readable Parquet file: {error}") from error


class _Table:
    """An open Parquet file of labelled images."""

    def __init__(self, place: str, file: pq.ParquetFile) -> None:
        self._place = place
        self._file = file
        with _damage_reported(place):
            names = file.schema_arrow.names
        if not names.count("image") == names.count("label") == 1:
            raise DataError(
                f"{place} has one column image and one column label, got {', '.join(names)}"
            )
        self._check_types()

    def _check_types(self) -> None:
        label = self._file.schema_arrow.field("label").type
        if not pa.types.is_integer(label):
            raise DataError(f"{self._place}: column label holds integers, got {label}")
        image = self._file.schema_arrow.field("image").type
        encoded = image
        if pa.types.is_struct(image) and image.get_field_index("bytes") >= 0:
            encoded = image.field("bytes").type
        if not (pa.types.is_binary(encoded) or pa.types.is_large_binary(encoded)):
            raise DataError(
                f"{self._place}: column image holds encoded images as binary or as a struct with "
                f"a binary field bytes, got {image}"
            )

    def split(self) -> Split:
        """All rows, of which images are read on demand."""
        return Split(self._place, self._labels(), self._pictures)

    def _labels(self) -> Labels:
        with _damage_reported(self._place):
            column = self._file.read(columns=["label"]).column("label").combine_chunks()
            if column.null_count:
                row = column.is_null().to_pylist().index(True)
                raise DataError(f"{self._place}, row {row}: the label is missing")
            return np.array(column.cast(pa.int64()), dtype=np.int64)

    def _pictures(self, rows: npt.NDArray[np.int64]) -> Iterator[Picture]:
        start = 0
        with _damage_reported(self._place):
            for batch in self._file.iter_batches(_ROWS, columns=["image"]):
                end = start + batch.num_rows
                for row in rows[(start <= rows) & (rows < end)].tolist():
                    place = f"{self._place}, row {row}"
                    yield Picture(place, _decode(batch.column(0)[row - start].as_py(), place))
                start = end

    def class_names(self) -> list[str]:
        """Names of the classes in the schema's metadata; empty where there are none."""
        metadata: dict[bytes, bytes] = self._file.schema_arrow.metadata or {}
        if b"classes" in metadata:
            with _damage_reported(self._place):
                names = metadata[b"classes"].decode()
            return [name.strip() for name in names.split(",")]
        return _hugging_face_names(metadata.get(b"huggingface", b"{}"))


def _decode(cell: Any, place: str) -> npt.NDArray[np.uint8]:
    content = cell["bytes"] if isinstance(cell, dict) else cell
    if content is None:
        raise DataError(f"{place}: the image's bytes are missing")
    return decode(content, place)


def _hugging_face_names(metadata: bytes) -> list[str]:
    try:
        return list(json.loads(metadata)["info"]["features"]["label"]["names"])
    except (ValueError, LookupError, TypeError):
        return []  # the label is no ClassLabel: it has no names
