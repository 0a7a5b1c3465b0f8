"""Configuration of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from autoshrink_ray.config import DEFAULT_STORAGE, RUN_NAME, SearchConfig, validated
from autoshrink_ray.errors import ConfigError, choices
from autoshrink_ray.records import Natural
from trainables.final.recipes import Count
from trainables.tuning.objective import ObjectiveName
from trainables.tuning.space import Range

_SHARED = {
    "seed",
    "cpus_per_trial",
    "gpus_per_trial",
    "max_concurrent",
    "max_retries",
    "address",
    "storage",
    "name",
    "plugins",
}
"""Fields that mean what they mean in a search, under the same rules."""

_EARLY_STOPPING = ("grace_epochs", "reduction_factor")


class TuningConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything that a study can be told, beside the network.

    Attributes:
        trials: Trials that are to end in all: complete, stopped early or failed by a fault of
            their own.
        data: Data set as NAME or NAME:ARGUMENT; None for the search space's default.
        data_dir: Folder of downloaded data sets.
        objective: `quality`: TPE, and ASHA stops trials that fall behind; `quality-macs`: NSGA-II,
            and every trial is trained to its end.
        ranges: What is varied, by `macro.KEY` or `recipe.KEY`; on top of the default ranges, or
            alone where `defaults` is off.
        defaults: Whether the default ranges are varied, too.
        recipe: Name of the recipe; None for the network's.
        settings: Recipe settings that differ from it in all trials.
        seed: Decides what is tried, and starts every training.
        grace_epochs: Epochs that ASHA grants every trial; None for one, or more where the trials
            are long.
        reduction_factor: ASHA lets the best part of one in so many trials go on, at epochs that
            grow by the same factor; from 1.1 to 1000.
        population: Trials of a generation of NSGA-II.
        cpus_per_trial: CPUs of a trial, and threads of its training.
        gpus_per_trial: GPUs of a trial; a fraction shares one.
        max_concurrent: Trials at once; None for as many as have resources.
        max_retries: How often a trial that the infrastructure lost is tried again.
        address: Ray cluster to join; None uses RAY_ADDRESS or starts a local one.
        storage: Folder or URI that holds the studies.
        study_storage: Database URL or path of a journal file for Optuna; None for a journal in
            the study's folder.
        name: Name of the study; None makes a fresh one.
        plugins: Modules that register own spaces and data sets.
    """

    trials: Count
    data: str | None = None
    data_dir: str | None = None
    objective: ObjectiveName = "quality"
    ranges: dict[str, Range] = {}
    defaults: bool = True
    recipe: str | None = None
    settings: dict[str, Any] = {}
    seed: Natural = 0
    grace_epochs: Count | None = None
    reduction_factor: Annotated[float, Field(ge=1.1, le=1000)] | None = None
    population: Annotated[int, Field(ge=2)] | None = None
    cpus_per_trial: float = 1
    gpus_per_trial: float = 0
    max_concurrent: int | None = None
    max_retries: int = 3
    address: str | None = None
    storage: str = DEFAULT_STORAGE
    study_storage: Annotated[str, Field(min_length=1)] | None = None
    name: Annotated[str, Field(pattern=RUN_NAME)] | None = None
    plugins: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_what_a_search_could_be_told(self) -> TuningConfig:
        try:
            SearchConfig.of(self.model_dump(include=_SHARED))
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _options_fit_the_objective(self) -> TuningConfig:
        if self.with_macs:
            given = [name for name in _EARLY_STOPPING if getattr(self, name) is not None]
            if given:
                raise ValueError(
                    f"{choices(given)} belongs to objective quality, got quality-macs: it trains "
                    f"every trial to its end"
                )
        elif self.population is not None:
            raise ValueError("population belongs to objective quality-macs, got quality")
        both = [k for k in self.ranges if k.removeprefix("recipe.") in self.settings]
        if both:
            raise ValueError(f"{choices(both)} is varied and set: choose one of the two")
        return self

    @property
    def with_macs(self) -> bool:
        """Whether fewer MACs count, too."""
        return self.objective == "quality-macs"

    @property
    def threads(self) -> int:
        """CPU threads of one training."""
        return max(1, int(self.cpus_per_trial))

    @property
    def train_resources(self) -> list[tuple[str, float]]:
        """Options of `train` that compute like a trial: its threads, and a GPU if it has one."""
        threads = [("--cpus-per-worker", self.threads)] if self.threads > 1 else []
        return [*threads, *([("--gpus-per-worker", 1)] if self.gpus_per_trial else [])]

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TuningConfig:
        """A configuration from plain settings.

        Raises:
            ConfigError: With each value that breaks a rule.
        """
        return validated(cls, settings)
