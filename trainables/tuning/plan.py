"""A study's configuration with every default filled in and every name looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.errors import ConfigError, DataError
from search_spaces.network import NetworkFile
from trainables.final.config import TrainConfig, TrainPlan
from trainables.final.inputs.streaming import TableSource
from trainables.tuning.config import TuningConfig
from trainables.tuning.objective import Quality, TuningObjective
from trainables.tuning.scheduling import AllTheWay, EarlyStopping, nsga2, tpe
from trainables.tuning.search import Draw
from trainables.tuning.space import Range, plain
from trainables.tuning.subject import Subject

REDUCTION_FACTOR = 3.0
POPULATION = 16
STARTUP = 10
"""Trials that TPE draws at random before it models anything."""

_BATCH_SIZE = "recipe.batch_size"

_OF_A_TRAINING = {"data", "data_dir", "recipe", "settings", "seed", "plugins"}


@dataclass(frozen=True)
class TuningPlan:
    """What a study will do.

    Attributes:
        config: The configuration.
        training: How the network is trained where nothing is varied.
        subject: What is varied.
        ranges: What the settings are drawn from, by key.
        objective: What trials are compared by.
    """

    config: TuningConfig
    training: TrainPlan
    subject: Subject
    ranges: Mapping[str, Range]
    objective: TuningObjective

    @classmethod
    def of(cls, network: NetworkFile, config: TuningConfig) -> TuningPlan:
        """The plan for a network and a configuration.

        Raises:
            ConfigError: If a name is unknown, a setting breaks a rule, or there is nothing to vary.
        """
        training = TrainPlan.of(network, TrainConfig.of(config.model_dump(include=_OF_A_TRAINING)))
        subject = Subject(
            network, training.task.Recipe, str(training.config.recipe), config.settings
        )
        ranges = {**(subject.default_ranges() if config.defaults else {}), **config.ranges}
        if not ranges:
            raise ConfigError("there is nothing to vary: give --vary KEY=LOW:HIGH or KEY=a,b,c")
        quality = Quality.of(training.task.quality)
        objective = TuningObjective(quality, config.with_macs)
        return cls(config, training, subject, subject.fitted(ranges), objective)

    def load_data(self) -> ProxyData:
        """Reads and checks the data.

        Raises:
            ConfigError: If the data set is unknown or read as a stream, or a batch of the ranges
                is larger than the training data.
            DataError: If it is missing, broken or contradicts the network.
        """
        data = self.training.load_data()
        _refuse_stream(data)
        self._require_full_batches(data)
        return data

    def _require_full_batches(self, data: ProxyData) -> None:
        """Whatever the batch size, a trial takes a step."""
        task = self.training.task
        if _BATCH_SIZE not in self.ranges:
            task.require_trainable(data, self.training.recipe)
            return
        for size in self.ranges[_BATCH_SIZE].ends:
            try:
                task.require_trainable(data, self.subject.variant({_BATCH_SIZE: size}).recipe)
            except DataError as error:
                raise ConfigError(f"the ranges allow {_BATCH_SIZE} = {size}: {error}") from error

    @property
    def draw(self) -> Draw:
        """What trials are drawn from."""
        sampler = nsga2(self._population) if self.objective.with_macs else tpe(STARTUP)
        return Draw(self.subject, self.ranges, self.objective, sampler, self.config.seed)

    def scheduler(self) -> AllTheWay | EarlyStopping:
        """A scheduler that knows of no trial yet."""
        return AllTheWay() if self.objective.with_macs else EarlyStopping(**self._stopping)

    @property
    def _population(self) -> int:
        return self.config.population or POPULATION

    @property
    def _stopping(self) -> dict[str, Any]:
        """ASHA's settings; by default it compares trials at a ninth and a third of their epochs."""
        epochs = self.training.recipe.epochs
        factor = self.config.reduction_factor or REDUCTION_FACTOR
        grace = self.config.grace_epochs or max(1, int(epochs / factor**2))
        if grace > epochs:
            raise ConfigError(f"grace_epochs is at most the trials' {epochs} epochs, got {grace}")
        return {
            "max_t": epochs,
            "grace_period": grace,
            "reduction_factor": factor,
            "mode": self.objective.quality.mode,
        }

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """Everything that can change a number, as plain data."""
        recipe = self.training.recipe
        policy = (
            {"population": self._population}
            if self.objective.with_macs
            else {"early_stopping": self._stopping}
        )
        return policy | {
            "network": self.subject.network.sha256,
            "recipe": recipe.model_dump(mode="json", exclude=set(recipe.paths)),
            "data_fingerprint": fingerprint,
            "ranges": plain(self.ranges),
            "objective": self.config.objective,
            "seed": self.config.seed,
            "threads": self.config.threads,
            "gpu": self.config.gpus_per_trial > 0,
        }


def _refuse_stream(data: Any) -> None:
    source = getattr(data, "train", None)
    if isinstance(source, TableSource):
        raise ConfigError(
            f"trials share images that are in memory, and {source.place} with {len(source):,} "
            f"images is read as a stream: give --set stream=false, or a smaller subset with "
            f"--train-per-class"
        )
