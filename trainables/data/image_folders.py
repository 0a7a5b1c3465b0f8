"""Images in folders, one folder a class."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyarrow import fs

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import DataError, StorageError, choices
from autoshrink_ray.storage import Folder, join
from trainables.data.assemble import Picture, Split, image_set, picture
from trainables.data.options import ImageOptions, folder
from trainables.data.sets import ImageSet, Labels

_CONTENT = "train/CLASS/IMAGE files and the same classes under valid, val or test"
_VALIDATION = ("valid", "val", "test")
_SUFFIXES = ("bmp", "gif", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp")
_READERS = 8
"""Files read at once: hides the latency of object stores."""


@dataclass(frozen=True)
class FolderSplit:
    """The image files of a split.

    Attributes:
        files: Their names below the data set's folder, sorted.
        sizes: Bytes of each.
        labels: Class number of each, int64 of shape (N,).
    """

    files: tuple[str, ...]
    sizes: tuple[int, ...]
    labels: Labels


@dataclass(frozen=True)
class ImageFolders:
    """What lies in the folders of a data set; no image was opened.

    Attributes:
        source: The data set's folder.
        train: Training files.
        valid: Validation files.
        valid_name: Name of the validation folder.
        class_names: Names of the classes in the order of their numbers.
    """

    source: Folder
    train: FolderSplit
    valid: FolderSplit
    valid_name: str
    class_names: tuple[str, ...]


def imagefolder(request: DataRequest) -> ImageSet:
    """Reads `imagefolder:DIR`: DIR/train/CLASS/IMAGE and the same under DIR/valid.

    The validation folder may be called `valid`, `val` or `test`; the first that exists is taken.
    Classes are the sorted folder names. Names that begin with a dot are passed over, as are
    files without a known suffix. DIR is a path or a URI.

    Raises:
        DataError: If a folder is missing, a class has no images, the classes of the two splits
            differ, or an image is damaged.
    """
    options = ImageOptions.of(request)
    folders = list_folders(request)
    train = _split(folders.source, "train", folders.train)
    valid = _split(folders.source, folders.valid_name, folders.valid)
    return image_set(train, valid, folders.class_names, options)


def list_folders(request: DataRequest) -> ImageFolders:
    """Lists the files of `imagefolder:DIR` without reading them; rules as for `imagefolder`.

    Raises:
        DataError: If a folder is missing, a class has no images or the classes of the two splits
            differ.
    """
    source = folder(request, _CONTENT)
    valid_name = _validation_folder(source)
    classes = _classes(source, "train")
    valid_classes = _classes(source, valid_name)
    if classes != valid_classes:
        raise DataError(
            f"{source.location}: train and {valid_name} have the same classes; "
            f"only in train: {_listed(classes, valid_classes)}; "
            f"only in {valid_name}: {_listed(valid_classes, classes)}"
        )
    return ImageFolders(
        source,
        _files(source, "train", classes),
        _files(source, valid_name, classes),
        valid_name,
        tuple(classes),
    )


def _validation_folder(source: Folder) -> str:
    there = source.folders()
    found = [name for name in _VALIDATION if name in there]
    if "train" not in there or not found:
        raise DataError(
            f"{source.location} holds {_CONTENT}; got folders: {choices(there) or 'none'}"
        )
    return found[0]


def _classes(source: Folder, split: str) -> list[str]:
    classes = [name for name in source.folders(split) if not name.startswith(".")]
    if not classes:
        raise DataError(f"{join(source.location, split)} has a folder for each class, got none")
    return classes


def _listed(these: list[str], those: list[str]) -> str:
    return choices(name for name in these if name not in those) or "none"


def _files(source: Folder, split: str, classes: list[str]) -> FolderSplit:
    numbers = {name: number for number, name in enumerate(classes)}
    sizes = {name: size for name, size in _sizes(source, split) if _is_image(name)}
    files = sorted(sizes)
    labels = np.array([numbers[name.split("/")[1]] for name in files], dtype=np.int64)
    for number in set(numbers.values()) - set(labels.tolist()):
        raise DataError(
            f"{join(source.location, split, classes[number])} has no images; "
            f"their names end in {choices('.' + suffix for suffix in _SUFFIXES)}"
        )
    return FolderSplit(tuple(files), tuple(sizes[name] for name in files), labels)


def _sizes(source: Folder, split: str) -> Iterator[tuple[str, int]]:
    """Names and bytes of all files below a folder, by one listing: stores charge for each."""
    selector = fs.FileSelector(f"{source.path}/{split}", recursive=True)
    try:
        infos = source.filesystem.get_file_info(selector)
    except OSError as error:
        raise StorageError(f"cannot list {join(source.location, split)}: {error}") from error
    for info in infos:
        if info.type == fs.FileType.File:
            yield info.path.removeprefix(source.path + "/"), info.size


def _split(source: Folder, split: str, listed: FolderSplit) -> Split:
    def read_one(name: str) -> Picture | DataError:
        return picture(join(source.location, name), source.read(name))

    def read(positions: npt.NDArray[np.int64]) -> Iterator[Picture | DataError]:
        with ThreadPoolExecutor(_READERS) as pool:
            yield from pool.map(read_one, [listed.files[place] for place in positions.tolist()])

    return Split(join(source.location, split), listed.labels, read)


def _is_image(name: str) -> bool:
    """Whether `name` is SPLIT/CLASS/...IMAGE without hidden parts."""
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts)
    return len(parts) > 2 and not hidden and name.rpartition(".")[2].lower() in _SUFFIXES
