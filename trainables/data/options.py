"""What a data set may be asked for, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import DataError
from autoshrink_ray.storage import Folder

DEFAULT_DATA_DIR = "~/.cache/autoshrink_ray/data"


@dataclass(frozen=True)
class ImageOptions:
    """Options that all image data sets read.

    Attributes:
        train_per_class: Training images of each class; None for all.
        valid_per_class: Validation images of each class; None for all.
        seed: Draws the two subsets.
        image_size: Height and width to bring images to; None for their own.
        max_bad_fraction: Part of a split's images that may be impossible to decode.
    """

    train_per_class: int | None = None
    valid_per_class: int | None = None
    seed: int = 0
    image_size: int | None = None
    max_bad_fraction: float = 0.0

    @classmethod
    def of(cls, request: DataRequest) -> ImageOptions:
        """Options of `request`.

        Raises:
            DataError: If one has no such value.
        """
        return cls(
            _count(request, "train_per_class"),
            _count(request, "valid_per_class"),
            _seed(request),
            _count(request, "image_size"),
            _fraction(request, "max_bad_fraction"),
        )


def _count(request: DataRequest, key: str) -> int | None:
    value = request.options.get(key)
    if value is None or (type(value) is int and value >= 1):
        return value
    raise DataError(f"{key} is a whole number of at least 1, or None; got {value!r}")


def _fraction(request: DataRequest, key: str) -> float:
    value = request.options.get(key)
    if value is None:
        return 0.0
    if isinstance(value, int | float) and 0 <= value < 1:
        return float(value)
    raise DataError(f"{key} is a number from 0 to below 1, got {value!r}")


def _seed(request: DataRequest) -> int:
    value = request.options.get("seed")
    if value is None:
        return 0
    if type(value) is int:
        return value
    raise DataError(f"seed is a whole number, got {value!r}")


def data_dir(request: DataRequest) -> Path:
    """Local folder of downloaded data sets.

    Raises:
        DataError: If the option is no path of a local folder.
    """
    value = request.options.get("data_dir")
    if value is None:
        value = DEFAULT_DATA_DIR
    if not isinstance(value, str | Path) or "://" in str(value):
        raise DataError(f"data_dir is a local folder, got {value!r}")
    return Path(value).expanduser()


def no_argument(request: DataRequest) -> None:
    """Checks that the spec is a name alone.

    Raises:
        DataError: If it has an argument.
    """
    if request.spec != request.name:
        raise DataError(
            f"data set {request.name} takes no argument: write {request.name}, got {request.spec!r}"
        )


def folder(request: DataRequest, content: str) -> Folder:
    """The existing folder that the spec's argument names.

    Args:
        request: Asks for `NAME:DIR`; DIR is a local path or a URI.
        content: What the folder has to hold, for error messages.

    Raises:
        DataError: If there is no argument or no such folder.
        StorageError: If the place cannot be reached.
    """
    if not request.argument:
        raise DataError(
            f"data set {request.name} needs a folder: write {request.name}:DIR, where DIR is a "
            f"path or URI and holds {content}; got {request.spec!r}"
        )
    found = Folder(request.argument)
    if not found.exists():
        raise DataError(f"data {request.spec!r}: there is no folder {found.location}")
    return found
