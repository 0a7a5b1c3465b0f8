from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoshrink_ray.errors import DataError
from tests.trainables.data.files import planes, python2_batch, python3_batch, random_pixels
from trainables.data.cifar_batches import read_batch

IMAGES = random_pixels(3, 32, 32, 3)
LABELS = [7, 0, 9]


class Payload:
    """Would make a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [python2_batch, python3_batch])
def test_gives_back_what_was_written(tmp_path: Path, write: Callable[..., bytes]) -> None:
    path = tmp_path / "batch"
    path.write_bytes(write(IMAGES, LABELS))
    images, labels = read_batch(path)
    np.testing.assert_array_equal(images, IMAGES)
    assert labels.tolist() == LABELS
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64


@pytest.mark.filterwarnings("ignore:.*numpy.core")
@pytest.mark.parametrize("write", [python2_batch, python3_batch])
def test_agrees_with_an_unrestricted_unpickler(tmp_path: Path, write: Callable[..., bytes]) -> None:
    content = write(IMAGES, LABELS)
    (tmp_path / "batch").write_bytes(content)
    trusted = pickle.loads(content, encoding="latin1")  # noqa: S301 - our own bytes
    images, labels = read_batch(tmp_path / "batch")
    np.testing.assert_array_equal(planes(images), trusted["data"])
    assert labels.tolist() == trusted["labels"]


@pytest.mark.parametrize("protocol", range(2, 6))
def test_nothing_in_a_file_is_executed(tmp_path: Path, protocol: int) -> None:
    path, trace = tmp_path / "batch", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"data": Payload(trace), "labels": LABELS}, protocol))
    with pytest.raises(DataError, match=r"is not a batch of CIFAR-10: .*it asks for posix\.mkdir"):
        read_batch(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "name", ["builtins\neval", "numpy\nload", "numpy.core.multiarray\n_reconstruct.__globals__"]
)
def test_other_names_do_not_exist(tmp_path: Path, name: str) -> None:
    (tmp_path / "batch").write_bytes(b"\x80\x02c" + name.encode() + b"\n.")
    with pytest.raises(DataError, match="it asks for"):
        read_batch(tmp_path / "batch")


@pytest.mark.parametrize(
    "batch",
    [
        {"data": planes(IMAGES)},
        {"labels": LABELS},
        {"data": planes(IMAGES), "labels": LABELS[:2]},
        {"data": planes(IMAGES), "labels": "708"},
        {"data": planes(IMAGES), "labels": [7, 0, "9"]},
        {"data": planes(IMAGES)[:, :100].copy(), "labels": LABELS},
        {"data": np.asfortranarray(planes(IMAGES)), "labels": LABELS},
        {"data": planes(IMAGES).astype(np.int16), "labels": LABELS},
        {"data": b"bytes", "labels": LABELS},
        [1, 2],
    ],
)
def test_another_structure_is_refused(tmp_path: Path, batch: object) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(DataError, match=r"batch is not a batch of CIFAR-10: .*delete it"):
        read_batch(tmp_path / "batch")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*data_batch_1"):
        read_batch(tmp_path / "data_batch_1")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    cut=st.integers(0, 400) | st.none(),
    damage=st.lists(st.tuples(st.integers(0, 250), st.binary(min_size=1, max_size=3)), max_size=4),
)
def test_damage_gives_a_batch_or_a_data_error(
    tmp_path: Path, cut: int | None, damage: list[tuple[int, bytes]]
) -> None:
    content = bytearray(python2_batch(IMAGES[:1], LABELS[:1]))
    for position, value in damage:
        content[position : position + len(value)] = value
    (tmp_path / "batch").write_bytes(content[:cut])
    try:
        images, labels = read_batch(tmp_path / "batch")
    except DataError:
        return
    assert images.shape == (len(labels), 32, 32, 3)
