"""Images in folders, one folder a class."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import DataError, choices
from autoshrink_ray.storage import Folder, join
from trainables.data.assemble import Picture, Split, image_set
from trainables.data.options import ImageOptions, folder
from trainables.data.pixels import decode
from trainables.data.sets import ImageSet

_CONTENT = "train/CLASS/IMAGE files and the same classes under valid, val or test"
_VALIDATION = ("valid", "val", "test")
_SUFFIXES = ("bmp", "gif", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp")
_READERS = 8
"""Files read at once: hides the latency of object stores."""


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
    return image_set(
        _split(source, "train", classes), _split(source, valid_name, classes), classes, options
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


def _split(source: Folder, split: str, classes: list[str]) -> Split:
    place = join(source.location, split)
    numbers = {name: number for number, name in enumerate(classes)}
    files = [name for name in source.files(split, recursive=True) if _is_image(name)]
    labels = np.array([numbers[name.split("/")[1]] for name in files], dtype=np.int64)
    for number in set(numbers.values()) - set(labels.tolist()):
        raise DataError(
            f"{join(place, classes[number])} has no images; "
            f"their names end in {choices('.' + suffix for suffix in _SUFFIXES)}"
        )

    def read_one(name: str) -> Picture:
        where = join(source.location, name)
        return Picture(where, decode(source.read(name), where))

    def read(positions: npt.NDArray[np.int64]) -> Iterator[Picture]:
        with ThreadPoolExecutor(_READERS) as pool:
            yield from pool.map(read_one, [files[position] for position in positions.tolist()])

    return Split(place, labels, read)


def _is_image(name: str) -> bool:
    """Whether `name` is SPLIT/CLASS/...IMAGE without hidden parts."""
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts)
    return len(parts) > 2 and not hidden and name.rpartition(".")[2].lower() in _SUFFIXES
