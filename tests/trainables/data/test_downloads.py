from __future__ import annotations

import gzip
import hashlib
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, FashionMNIST

from autoshrink_ray.contracts import ImageShape
from autoshrink_ray.errors import DataError
from tests.trainables.data.files import idx, python2_batch, python3_batch, random_pixels, request
from trainables.data import ImageSet, cifar10, fashion_mnist

CIFAR_FILES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
CIFAR_IMAGES = {name: random_pixels(4, 32, 32, 3, seed=i) for i, name in enumerate(CIFAR_FILES)}
CIFAR_LABELS = {name: [i, 9, i, 0] for i, name in enumerate(CIFAR_FILES)}

FASHION = {
    "train-images-idx3-ubyte": random_pixels(6, 28, 28),
    "train-labels-idx1-ubyte": np.array([0, 1, 9, 0, 1, 2], np.uint8),
    "t10k-images-idx3-ubyte": random_pixels(3, 28, 28, seed=1),
    "t10k-labels-idx1-ubyte": np.array([9, 0, 1], np.uint8),
}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def write_cifar10(root: Path, write: Callable[..., bytes] = python2_batch) -> Path:
    """A folder as torchvision leaves it, with four images a batch."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in CIFAR_FILES:
        (folder / name).write_bytes(write(CIFAR_IMAGES[name], CIFAR_LABELS[name]))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}, 2))
    return folder


def write_fashion_mnist(root: Path) -> Path:
    """A folder as torchvision leaves it, with a handful of images."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, array in FASHION.items():
        (folder / name).write_bytes(idx(array))
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the URL under which this machine serves it to itself."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "server"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


def load_cifar10(root: Path, **options: Any) -> ImageSet:
    return cifar10(request("cifar10", data_dir=str(root), **options))


def load_fashion_mnist(root: Path, **options: Any) -> ImageSet:
    return fashion_mnist(request("fashion-mnist", data_dir=str(root), **options))


def joined(files: Sequence[str]) -> tuple[Any, list[int]]:
    images = np.concatenate([CIFAR_IMAGES[name] for name in files])
    return images, [label for name in files for label in CIFAR_LABELS[name]]


@pytest.mark.parametrize("write", [python2_batch, python3_batch])
def test_cifar10_trains_on_its_batches_and_validates_on_its_test_split(
    tmp_path: Path, write: Callable[..., bytes]
) -> None:
    write_cifar10(tmp_path, write)
    data = load_cifar10(tmp_path)
    for images, labels, files in (
        (data.train_images, data.train_labels, CIFAR_FILES[:5]),
        (data.valid_images, data.valid_labels, CIFAR_FILES[5:]),
    ):
        expected_images, expected_labels = joined(files)
        np.testing.assert_array_equal(images, expected_images)
        assert labels.tolist() == expected_labels
    assert data.shape == ImageShape(channels=3, height=32, width=32, classes=10)
    assert data.class_names[0] == "airplane"


@pytest.mark.filterwarnings("ignore:.*numpy.core")
@pytest.mark.parametrize("train", [True, False])
def test_cifar10_agrees_with_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: bool
) -> None:
    folder = write_cifar10(tmp_path)

    def listed(names: Sequence[str]) -> list[list[str]]:
        return [[name, md5((folder / name).read_bytes())] for name in names]

    monkeypatch.setattr(CIFAR10, "train_list", listed(CIFAR_FILES[:5]))
    monkeypatch.setattr(CIFAR10, "test_list", listed(CIFAR_FILES[5:]))
    meta = {**CIFAR10.meta, "md5": md5((folder / "batches.meta").read_bytes())}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    theirs, ours = CIFAR10(tmp_path, train=train), load_cifar10(tmp_path)
    images, labels = (
        (ours.train_images, ours.train_labels) if train else (ours.valid_images, ours.valid_labels)
    )
    np.testing.assert_array_equal(images, theirs.data)
    assert labels.tolist() == theirs.targets


@pytest.mark.parametrize("train", [True, False])
def test_fashion_mnist_agrees_with_torchvision(tmp_path: Path, train: bool) -> None:
    write_fashion_mnist(tmp_path)
    theirs, ours = FashionMNIST(tmp_path, train=train), load_fashion_mnist(tmp_path)
    images, labels = (
        (ours.train_images, ours.train_labels) if train else (ours.valid_images, ours.valid_labels)
    )
    np.testing.assert_array_equal(images[..., 0], theirs.data.numpy())
    assert labels.tolist() == theirs.targets.tolist()
    assert list(ours.class_names) == theirs.classes
    assert ours.shape == ImageShape(channels=1, height=28, width=28, classes=10)


def test_options_choose_and_resize(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    data = load_cifar10(tmp_path, train_per_class=1, valid_per_class=1, image_size=8, seed=1)
    assert sorted(data.train_labels.tolist()) == [0, 1, 2, 3, 4, 9]
    assert sorted(data.valid_labels.tolist()) == [0, 5, 9]
    assert data.train_images.shape == (6, 8, 8, 3)


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    write_fashion_mnist(tmp_path)
    program = (
        "import sys; from autoshrink_ray.contracts import DataRequest; import trainables.data as d;"
        f"options = {{'data_dir': {str(tmp_path)!r}}};"
        "d.cifar10(DataRequest('cifar10', options));"
        "d.fashion_mnist(DataRequest('fashion-mnist', options));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_cifar10_is_downloaded_when_it_is_not_there(
    tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = server
    archive = folder / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(write_cifar10(tmp_path / "there"), "cifar-10-batches-py")
    monkeypatch.setattr(CIFAR10, "url", url + archive.name)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive.read_bytes()))
    first = load_cifar10(tmp_path / "data")
    assert first.fingerprint == load_cifar10(tmp_path / "there").fingerprint
    archive.unlink()
    assert load_cifar10(tmp_path / "data").fingerprint == first.fingerprint


def test_fashion_mnist_is_downloaded_when_it_is_not_there(
    tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = server
    contents = {f"{name}.gz": gzip.compress(idx(array)) for name, array in FASHION.items()}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    monkeypatch.setattr(FashionMNIST, "mirrors", [url + "missing/", url])
    resources = [(name, md5(content)) for name, content in contents.items()]
    monkeypatch.setattr(FashionMNIST, "resources", resources)
    write_fashion_mnist(tmp_path / "there")
    first = load_fashion_mnist(tmp_path / "data")
    assert first.fingerprint == load_fashion_mnist(tmp_path / "there").fingerprint


@pytest.mark.parametrize("reason", ["missing", "tampered"])
def test_a_failed_download_says_what_was_tried_and_what_to_do(
    tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    folder, url = server
    if reason == "tampered":
        (folder / "archive.tar.gz").write_bytes(b"something else")
    monkeypatch.setattr(CIFAR10, "url", url + "archive.tar.gz")
    with pytest.raises(DataError) as caught:
        load_cifar10(tmp_path / "data")
    message = str(caught.value)
    assert f"cifar10 is not in {tmp_path}/data/cifar-10-batches-py" in message
    assert url + "archive.tar.gz" in message
    assert {"missing": "404", "tampered": "corrupted"}[reason] in message
    assert "put data_batch_1, " in message
    assert "set data_dir to a folder that has them in cifar-10-batches-py" in message


def test_a_failed_download_of_fashion_mnist_names_its_files(
    tmp_path: Path, server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FashionMNIST, "mirrors", [server[1]])
    with pytest.raises(DataError, match=r"put train-images-idx3-ubyte, .* in FashionMNIST/raw"):
        load_fashion_mnist(tmp_path)


def test_labels_beyond_ten_classes_are_refused(tmp_path: Path) -> None:
    folder = write_cifar10(tmp_path)
    images = CIFAR_IMAGES["test_batch"]
    (folder / "test_batch").write_bytes(python2_batch(images, [0, 1, 10, 2]))
    with pytest.raises(DataError, match=r"test_batch: a label is one of 0\.\.9, got 10"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file of bytes with 3 dimension"),
        (idx(FASHION["train-labels-idx1-ubyte"]), "not an IDX file of bytes with 3 dimension"),
        (b"\0\0\x0d" + idx(FASHION["train-images-idx3-ubyte"])[3:], "not an IDX file of bytes"),
        (idx(FASHION["train-images-idx3-ubyte"])[:-1], r"4704 values of shape .* got 4703"),
        (idx(FASHION["train-images-idx3-ubyte"][:5]), "got 5 images and 6 labels"),
    ],
)
def test_broken_fashion_mnist_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    folder = write_fashion_mnist(tmp_path)
    (folder / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=rf"FashionMNIST/raw/train-.*{message}"):
        load_fashion_mnist(tmp_path)
