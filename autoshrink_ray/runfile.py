"""The file that says what a folder holds: `run.yaml`, and the base of its like."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, Field, field_validator

from autoshrink_ray import files
from autoshrink_ray.storage import Folder, join
from autoshrink_ray.topology import MAX_NODES, MIN_NODES

SCHEMA_VERSION = 1

_PACKAGES = ("autoshrink-ray", "ray", "torch", "torchvision", "numpy", "pyarrow")


class _Identity(BaseModel, extra="allow", strict=True, allow_inf_nan=False):
    """The part of an identity that reading a run rests on."""

    space: str
    searches: int = Field(ge=1, le=999)
    seed: int = Field(ge=0)
    nodes: int = Field(ge=MIN_NODES, le=MAX_NODES)
    keep_fraction: float | None = Field(default=None, gt=0, lt=1)
    objective: str
    cost_weight: float
    data_fingerprint: str


class DescribingFile(BaseModel, frozen=True, extra="forbid"):
    """A YAML file that says what its folder holds: a run, a training or a study.

    Attributes:
        schema_version: Version of this format.
        name: Name of what the folder holds.
        created: When it was started first, ISO 8601 with offset.
        identity: Everything that can change a number; compared when it goes on.
        data_summary: The data in one line.
        versions: Releases of Python, the packages and the source revision.
    """

    FILE: ClassVar[str]

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    name: str
    created: str
    identity: dict[str, Any]
    data_summary: str
    versions: dict[str, str]

    @classmethod
    def exists(cls, folder: Folder) -> bool:
        """Whether `folder` holds such a file."""
        return folder.exists(cls.FILE)

    @classmethod
    def find(cls, location: str, storage: str) -> Folder | None:
        """The folder at a path or URI, or called `location` in `storage`, that holds such a file.

        Raises:
            StorageError: If one of the places cannot be read.
        """
        places = [location] if "/" in location else [join(storage, location), location]
        return next(filter(cls.exists, map(Folder, places)), None)

    def write(self, folder: Folder) -> None:
        """Writes the file into its folder."""
        folder.write(self.FILE, files.to_yaml(self))

    @classmethod
    def read(cls, folder: Folder) -> Self:
        """Reads the file of a folder.

        Raises:
            StorageError: If it cannot be read.
            FileFormatError: If it is damaged or from a newer version.
        """
        name = f"{folder.location}/{cls.FILE}"
        return files.parse_yaml(cls, folder.read(cls.FILE), name, SCHEMA_VERSION)


class RunFile(DescribingFile):
    """A run's `run.yaml`.

    Attributes:
        config: The resolved configuration it was started with, or extended.
    """

    FILE = files.RUN

    config: dict[str, Any]

    @field_validator("identity")
    @classmethod
    def _has_what_readers_need(cls, identity: dict[str, Any]) -> dict[str, Any]:
        _Identity.model_validate(identity)
        return identity

    @field_validator("config")
    @classmethod
    def _names_its_data(cls, config: dict[str, Any]) -> dict[str, Any]:
        if "data" not in config:
            raise ValueError("a run's configuration names its data")
        return config


def versions() -> dict[str, str]:
    """Releases that take part in a run, by name, and the source revision."""
    names = {name: release(name) for name in _PACKAGES}
    return {"python": platform.python_version()} | names | {"git": _git_revision()}


def release(package: str) -> str:
    """The installed release of a package."""
    try:
        return version(package)
    except PackageNotFoundError:  # code that was uploaded to a cluster is not installed
        return "not installed"


def _git_revision() -> str:
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
