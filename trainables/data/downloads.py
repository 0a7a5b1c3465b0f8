"""Data sets that torchvision knows how to download. Reading them is ours, and needs no torch."""

from __future__ import annotations

import http.client
import tarfile
import urllib.error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import DataError, choices
from trainables.data.assemble import Split, image_set, in_memory
from trainables.data.cifar_batches import read_batch
from trainables.data.idx import read_idx
from trainables.data.options import ImageOptions, data_dir, no_argument
from trainables.data.sets import ImageSet


@dataclass(frozen=True)
class _Layout:
    """Where a data set's files are below the data folder."""

    name: str
    folder: str
    files: tuple[str, ...]

    def missing(self, root: Path) -> list[str]:
        return [file for file in self.files if not (root / self.folder / file).is_file()]


@dataclass(frozen=True)
class _Archive:
    """A file to download and unpack."""

    urls: tuple[str, ...]
    name: str
    md5: str


_CIFAR10 = _Layout(
    "cifar10",
    "cifar-10-batches-py",
    (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
)
_CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

_FASHION_MNIST = _Layout(
    "fashion-mnist",
    "FashionMNIST/raw",
    tuple(
        f"{split}-{kind}-ubyte"
        for split in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ),
)
_FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def cifar10(request: DataRequest) -> ImageSet:
    """CIFAR-10, validated on images of its test split.

    Reads DATA_DIR/cifar-10-batches-py, the folder that torchvision makes; what is not there is
    downloaded.

    Raises:
        DataError: If it is neither there nor can be downloaded, or a file is damaged.
    """
    no_argument(request)
    options = ImageOptions.of(request)
    root = data_dir(request)
    if _CIFAR10.missing(root):
        from torchvision.datasets import CIFAR10  # takes seconds: only for a download

        archive = _Archive((CIFAR10.url,), CIFAR10.filename, CIFAR10.tgz_md5)
        _download(_CIFAR10, root, [archive], unpack_to=root)
    *train, test = (root / _CIFAR10.folder / file for file in _CIFAR10.files)
    return image_set(_cifar_split(train), _cifar_split([test]), _CIFAR10_CLASSES, options)


def _cifar_split(files: Sequence[Path]) -> Split:
    images, labels = (np.concatenate(parts) for parts in zip(*map(read_batch, files), strict=True))
    return in_memory(choices(files), images, labels)


def fashion_mnist(request: DataRequest) -> ImageSet:
    """Fashion-MNIST, validated on images of its test split.

    Reads DATA_DIR/FashionMNIST/raw, the folder that torchvision makes; what is not there is
    downloaded.

    Raises:
        DataError: If it is neither there nor can be downloaded, or a file is damaged.
    """
    no_argument(request)
    options = ImageOptions.of(request)
    root = data_dir(request)
    folder = root / _FASHION_MNIST.folder
    if missing := _FASHION_MNIST.missing(root):
        from torchvision.datasets import FashionMNIST  # takes seconds: only for a download

        archives = [
            _Archive(tuple(mirror + name for mirror in FashionMNIST.mirrors), name, md5)
            for name, md5 in FashionMNIST.resources
            if name.removesuffix(".gz") in missing
        ]
        _download(_FASHION_MNIST, root, archives, unpack_to=folder)
    train, valid = (_idx_split(folder, split) for split in ("train", "t10k"))
    return image_set(train, valid, _FASHION_MNIST_CLASSES, options)


def _idx_split(folder: Path, split: str) -> Split:
    images = read_idx(folder / f"{split}-images-idx3-ubyte", 3)[..., None]
    labels = read_idx(folder / f"{split}-labels-idx1-ubyte", 1).astype(np.int64)
    place = f"{folder}/{split}-*-ubyte"
    if len(images) != len(labels):
        raise DataError(
            f"{place}: each image has a label, got {len(images)} images and {len(labels)} labels"
        )
    return in_memory(place, images, labels)


def _download(
    layout: _Layout, root: Path, archives: Iterable[_Archive], *, unpack_to: Path
) -> None:
    """Downloads and unpacks `archives`, each from the first of its URLs that works."""
    for archive in archives:
        failures = []
        for url in archive.urls:
            failure = _fetch(url, archive, unpack_to)
            if failure is None:
                break
            failures.append(f"{url} ({failure})")
        else:
            raise DataError(
                f"{layout.name} is not in {root / layout.folder} and cannot be downloaded from "
                f"{choices(failures)}; put {choices(layout.files)} there, or set data_dir to a "
                f"folder that has them in {layout.folder}"
            )


def _fetch(url: str, archive: _Archive, into: Path) -> Exception | None:
    from torchvision.datasets.utils import download_and_extract_archive

    try:
        download_and_extract_archive(url, str(into), filename=archive.name, md5=archive.md5)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        return error
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError) as error:
        return error
    return None
