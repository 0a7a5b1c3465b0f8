"""`tune.yaml`: what a study is, written once when it starts; and the names of its files."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from pydantic import BaseModel, Field

from autoshrink_ray.files import parse_yaml, to_yaml
from autoshrink_ray.runfile import versions
from autoshrink_ray.storage import Folder

SCHEMA_VERSION = 1

STUDY = "tune.yaml"
TRIALS = "trials.parquet"
BEST_NETWORK = "best.network.json"
BEST_RECIPE = "best.recipe.yaml"
FRONT = "front.json"
FRONT_NETWORKS = "front"


def front_network(place: int) -> str:
    """Network file of the front's n-th network, fewest MACs first."""
    return f"{FRONT_NETWORKS}/{place:02d}.network.json"


class StudyFile(BaseModel, frozen=True, extra="forbid"):
    """A study's `tune.yaml`.

    Attributes:
        schema_version: Version of this format.
        name: The study's name, also in Optuna's storage.
        created: When it was started first, ISO 8601 with offset.
        identity: Everything that can change a number; compared when the study goes on.
        network: The network whose settings are varied, as in its file.
        data: Data set as NAME or NAME:ARGUMENT.
        data_summary: The data in one line.
        study_storage: Optuna's storage, without a password.
        versions: Releases of Python, the packages and the source revision.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    name: str
    created: str
    identity: dict[str, Any]
    network: dict[str, Any]
    data: str
    data_summary: str
    study_storage: str
    versions: dict[str, str]

    def write(self, folder: Folder) -> None:
        """Writes the file into a study's folder."""
        folder.write(STUDY, to_yaml(self))

    @classmethod
    def read(cls, folder: Folder) -> StudyFile:
        """Reads the file of a study.

        Raises:
            StorageError: If it cannot be read.
            FileFormatError: If it is damaged or from a newer version.
        """
        name = f"{folder.location}/{STUDY}"
        return parse_yaml(cls, folder.read(STUDY), name, SCHEMA_VERSION)


def study_versions() -> dict[str, str]:
    """Releases that take part in a study, by name."""
    return versions() | {"optuna": version("optuna")}
