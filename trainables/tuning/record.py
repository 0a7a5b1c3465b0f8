"""`tune.yaml`: what a study is, written once when it starts; and the names of its files."""

from __future__ import annotations

from typing import Any

from autoshrink_ray.runfile import DescribingFile, release, versions

STUDY = "tune.yaml"
TRIALS = "trials.parquet"
BEST_NETWORK = "best.network.json"
BEST_RECIPE = "best.recipe.yaml"
FRONT = "front.json"
FRONT_NETWORKS = "front"


def front_network(place: int) -> str:
    """Network file of the front's n-th network, fewest MACs first."""
    return f"{FRONT_NETWORKS}/{place:02d}.network.json"


class StudyFile(DescribingFile):
    """A study's `tune.yaml`; `name` is also its name in Optuna's storage.

    Attributes:
        network: The network whose settings are varied, as in its file.
        data: Data set as NAME or NAME:ARGUMENT.
        study_storage: Optuna's storage, without a password.
    """

    FILE = STUDY

    network: dict[str, Any]
    data: str
    study_storage: str


def study_versions() -> dict[str, str]:
    """Releases that take part in a study, by name."""
    return versions() | {"optuna": release("optuna")}
