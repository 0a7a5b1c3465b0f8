"""Images in Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import DataError
from autoshrink_ray.storage import Folder, join
from trainables.data.assemble import Picture, Split, image_set, picture
from trainables.data.options import ImageOptions, folder
from trainables.data.sets import ImageSet, Labels

TRAIN, VALID = "train.parquet", "valid.parquet"

_CONTENT = "train.parquet and valid.parquet with columns image (encoded bytes) and label (integer)"
_ROWS = 256
"""Rows read at once: bounds the memory of the rows that are not chosen."""

_BUFFER = 2**20
"""Bytes of a column read at once: a row group may be the whole file."""

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
    source = table_folder(request)
    with open_table(source, TRAIN) as train, open_table(source, VALID) as valid:
        train_split, valid_split = train.split(), valid.split()
        names = train.class_names() or numbered_classes(train.place, train_split.labels)
        return image_set(train_split, valid_split, names, options)


def table_folder(request: DataRequest) -> Folder:
    """The folder that `parquet:DIR` names.

    Raises:
        DataError: If there is no argument or no such folder.
    """
    return folder(request, _CONTENT)


def numbered_classes(place: str, labels: Labels) -> list[str]:
    """Names of classes that are known by their numbers alone: 0 to the largest label.

    Raises:
        DataError: If a label is too large for a class number.
    """
    largest = int(labels.max(initial=0))
    if largest >= _MAX_CLASSES:
        raise DataError(f"{place}: a label is a class number below {_MAX_CLASSES}, got {largest}")
    return [str(number) for number in range(largest + 1)]


@contextmanager
def open_table(source: Folder, name: str) -> Iterator[Table]:
    """The Parquet file `name` in a folder, open.

    Raises:
        DataError: If it is missing, damaged or has other columns.
    """
    place = join(source.location, name)
    if not source.exists(name):
        raise DataError(f"{source.location} holds {_CONTENT}; {name} is missing")
    with _damage_reported(place):
        stream = source.filesystem.open_input_file(f"{source.path}/{name}")
    with stream:
        with _damage_reported(place):
            file = pq.ParquetFile(stream, buffer_size=_BUFFER)
        yield Table(place, file, stream.size())


@contextmanager
def _damage_reported(place: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{place} is not a readable Parquet file: {error}") from error


class Table:
    """An open Parquet file of labelled images.

    Args:
        place: What error messages call it.
        file: The open file.
        size: Bytes of it.

    Attributes:
        place: As given.
        size: As given.

    Raises:
        DataError: If it has no column `image` of encoded images or no column `label` of integers.
    """

    def __init__(self, place: str, file: pq.ParquetFile, size: int) -> None:
        self.place = place
        self.size = size
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
            raise DataError(f"{self.place}: column label holds integers, got {label}")
        image = self._file.schema_arrow.field("image").type
        encoded = image
        if pa.types.is_struct(image) and image.get_field_index("bytes") >= 0:
            encoded = image.field("bytes").type
        if not (pa.types.is_binary(encoded) or pa.types.is_large_binary(encoded)):
            raise DataError(
                f"{self.place}: column image holds encoded images as binary or as a struct with "
                f"a binary field bytes, got {image}"
            )

    def split(self) -> Split:
        """All rows, of which images are read on demand."""
        return Split(self.place, self.labels(), self._pictures)

    def labels(self) -> Labels:
        """Label of each row, int64 of shape (N,); images are not read.

        Raises:
            DataError: If one is missing or the file is damaged.
        """
        with _damage_reported(self.place):
            column = self._file.read(columns=["label"]).column("label").combine_chunks()
            if column.null_count:
                row = column.is_null().to_pylist().index(True)
                raise DataError(f"{self.place}, row {row}: the label is missing")
            return np.array(column.cast(pa.int64()), dtype=np.int64)

    def _pictures(self, rows: npt.NDArray[np.int64]) -> Iterator[Picture | DataError]:
        start = 0
        with _damage_reported(self.place):
            for batch in self._file.iter_batches(_ROWS, columns=["image"]):
                end = start + batch.num_rows
                images = _encoded(batch.column(0))
                for row in rows[(start <= rows) & (rows < end)].tolist():
                    yield picture(row_place(self.place, row), images[row - start].as_py())
                start = end
        if rows.size and start <= rows[-1]:
            raise DataError(
                f"{self.place} is not a readable Parquet file: column image has {start} rows, "
                f"column label has more"
            )

    def group_sizes(self) -> list[int]:
        """Rows of each row group, the units that can be read by themselves."""
        metadata = self._file.metadata
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def scan(self, group: int) -> Iterator[pa.Table]:
        """Reads a row group, few rows at a time.

        Yields:
            Tables with the columns `position` (number of the row in the file), `label` (int64) and
            `image` (encoded bytes).

        Raises:
            DataError: If the file is damaged.
        """
        position = sum(self.group_sizes()[:group])
        with _damage_reported(self.place):
            for batch in self._file.iter_batches(
                _ROWS, row_groups=[group], columns=["label", "image"]
            ):
                positions = pa.array(range(position, position + batch.num_rows), pa.int64())
                label = batch.column("label").cast(pa.int64())
                image = _encoded(batch.column("image")).cast(pa.large_binary())
                yield pa.table({"position": positions, "label": label, "image": image})
                position += batch.num_rows

    def class_names(self) -> list[str]:
        """Names of the classes in the schema's metadata; empty where there are none."""
        metadata: dict[bytes, bytes] = self._file.schema_arrow.metadata or {}
        if b"classes" in metadata:
            with _damage_reported(self.place):
                names = metadata[b"classes"].decode()
            return [name.strip() for name in names.split(",")]
        return _hugging_face_names(metadata.get(b"huggingface", b"{}"))


def read_group(folder: Folder, name: str, group: int) -> Iterator[pa.Table]:
    """Row group number `group` of the Parquet file `name`; see `Table.scan`."""
    with open_table(folder, name) as table:
        yield from table.scan(group)


def read_groups(batch: dict[str, Any], location: str, name: str) -> Iterator[pa.Table]:
    """The row groups whose numbers are in a batch, as Ray Data's tasks read them.

    It is here because tasks import the module of what they run, and this one needs no torch.

    Args:
        batch: `group`: int64 of shape (N,).
        location: Folder of the data set.
        name: File in it.
    """
    for group in batch["group"].tolist():
        yield from read_group(Folder(location), name, group)


def row_place(place: str, row: int) -> str:
    """What an error message calls a row of the table at `place`."""
    return f"{place}, row {row}"


def _encoded(column: pa.Array) -> pa.Array:
    return pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column


def _hugging_face_names(metadata: bytes) -> list[str]:
    try:
        names = json.loads(metadata)["info"]["features"]["label"]["names"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []  # the label is no ClassLabel: it has no names
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return names if is_list else []
