"""Writes tiny data sets in the formats that the readers read."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from autoshrink_ray.contracts import DataRequest

Pixels = npt.NDArray[np.uint8]


def request(spec: str, **options: Any) -> DataRequest:
    return DataRequest(spec, options)


def random_pixels(*shape: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(pixels: Pixels, file_format: str = "PNG") -> bytes:
    flat = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    buffer = io.BytesIO()
    Image.fromarray(flat).save(buffer, file_format)
    return buffer.getvalue()


def write_parquet(
    path: Path,
    images: Sequence[Any],
    labels: Sequence[Any],
    metadata: Mapping[str, str] | None = None,
    image_type: pa.DataType | None = None,
) -> None:
    columns = {"image": pa.array(images, image_type or pa.binary()), "label": pa.array(labels)}
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata), path, row_group_size=3)


def write_image_folder(root: Path, classes: Mapping[str, Sequence[bytes]], suffix: str) -> None:
    for name, contents in classes.items():
        (root / name).mkdir(parents=True)
        for number, content in enumerate(contents):
            (root / name / f"{number}.{suffix}").write_bytes(content)


def planes(images: Pixels) -> Pixels:
    """(N, 32, 32, 3) as CIFAR's files have it: (N, 3072), one channel behind the other."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2).reshape(len(images), -1))


def python3_batch(images: Pixels, labels: Sequence[int]) -> bytes:
    """A CIFAR batch as Python 3 writes it in the protocol of the published files."""
    return pickle.dumps({"data": planes(images), "labels": list(labels)}, protocol=2)


def python2_batch(images: Pixels, labels: Sequence[int]) -> bytes:
    """A CIFAR batch opcode by opcode as Python 2 wrote the published files: bytes as strings."""

    def short(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    raw = planes(images).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + short(b"b") + b"tR"
        b"(K\x01(" + b"J" + struct.pack("<i", len(images)) + b"M\x00\x0ct"
        b"cnumpy\ndtype\n(" + short(b"u1") + b"K\x00K\x01tR"
        b"(K\x03" + short(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + short(b"data") + array + short(b"labels") + numbers + b"u."


def idx(array: Pixels) -> bytes:
    """An array in the IDX format."""
    return (
        bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    ) + array.tobytes()
