"""`run.yaml`: what a run is, written once when it starts."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator

from autoshrink_ray import files
from autoshrink_ray.storage import Folder
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


class RunFile(BaseModel, frozen=True, extra="forbid"):
    """A run's `run.yaml`.

    Attributes:
        schema_version: Version of this format.
        name: The run's name.
        created: When it was started first, ISO 8601 with offset.
        identity: Everything that can change a number; compared when the run is resumed.
        config: The resolved configuration it was started with.
        data_summary: The proxy data in one line.
        versions: Releases of Python, the packages and the source revision.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    name: str
    created: str
    identity: dict[str, Any]
    config: dict[str, Any]
    data_summary: str
    versions: dict[str, str]

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

    @staticmethod
    def exists(folder: Folder) -> bool:
        """Whether `folder` holds a run."""
        return folder.exists(files.RUN)

    def write(self, folder: Folder) -> None:
        """Writes the file into a run's folder."""
        folder.write(files.RUN, files.to_yaml(self))

    @classmethod
    def read(cls, folder: Folder) -> RunFile:
        """Reads the file of a run.

        Raises:
            StorageError: If it cannot be read.
            FileFormatError: If it is damaged or from a newer version.
        """
        name = f"{folder.location}/{files.RUN}"
        return files.parse_yaml(cls, folder.read(files.RUN), name, SCHEMA_VERSION)


def versions() -> dict[str, str]:
    """Releases that take part in a run, by name."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # code that was uploaded to a cluster is not installed
            found[package] = "not installed"
    return found | {"git": _git_revision()}


def _git_revision() -> str:
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
