"""A training's configuration: what decides its numbers, and how it is executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from autoshrink_ray import plugins
from autoshrink_ray.config import DEFAULT_STORAGE, RUN_NAME, refuse_credentials, validated
from autoshrink_ray.contracts import DataRequest, ProxyData
from autoshrink_ray.errors import ConfigError
from search_spaces.network import NetworkFile
from trainables.final.contracts import FullTask
from trainables.final.loop import Rules
from trainables.final.recipes import Count, Recipe, recipe
from trainables.final.tasks import full_task


class TrainConfig(BaseModel, frozen=True, extra="forbid"):
    """Everything that a training can be told, beside its network.

    Attributes:
        data: Data set as NAME or NAME:ARGUMENT; None for the search space's default.
        data_dir: Folder of downloaded data sets.
        recipe: Name of the training recipe; None for the one that the network is meant for.
        settings: Settings of the recipe that differ from it.
        seed: Decides the first weights and everything random.
        checkpoint_every: Epochs from one checkpoint to the next.
        workers: Processes that train together, each on its share of a batch.
        cpus_per_worker: CPUs of each of them, and threads of its computations.
        gpus_per_worker: GPUs of each: 0, 1, or for a single worker a fraction, which shares one.
        loader_workers: Processes that read and prepare images for each worker; 0 for none.
        max_retries: How often a training whose workers were lost goes on from its last checkpoint.
        address: Ray cluster to join; None uses RAY_ADDRESS or starts a local one.
        storage: Folder or URI that holds the runs.
        name: Name of the training; None makes a fresh one.
        plugins: Modules that register own spaces and data sets.
    """

    data: str | None = None
    data_dir: str | None = None
    recipe: str | None = None
    settings: dict[str, Any] = {}
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    checkpoint_every: Count = 1
    workers: Annotated[int, Field(ge=1, le=100_000)] = 1
    cpus_per_worker: Count = 1
    gpus_per_worker: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0
    loader_workers: Annotated[int, Field(ge=0, le=1000)] = 0
    max_retries: Annotated[int, Field(ge=0)] = 3
    address: str | None = None
    storage: Annotated[str, Field(min_length=1)] = DEFAULT_STORAGE
    name: Annotated[str, Field(pattern=RUN_NAME)] | None = None
    plugins: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _options_fit_together(self) -> TrainConfig:
        refuse_credentials(self.storage)
        if self.workers > 1 and 0 < self.gpus_per_worker < 1:
            raise ValueError(
                f"gpus_per_worker is 0 or 1 for several workers, which cannot share a GPU; got "
                f"{self.gpus_per_worker:g} for {self.workers} workers"
            )
        return self

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """A configuration from plain settings.

        Raises:
            ConfigError: With each unknown key and each value that breaks a rule.
        """
        return validated(cls, settings)


@dataclass(frozen=True)
class TrainPlan:
    """What a training will do: a configuration with every default filled in and name looked up.

    Attributes:
        config: The configuration; its `settings` are the recipe's, complete.
        network: The network to train.
        task: How networks of its kind are trained.
        recipe: How this one is.
    """

    config: TrainConfig
    network: NetworkFile
    task: FullTask
    recipe: Recipe

    @classmethod
    def of(cls, network: NetworkFile, config: TrainConfig) -> TrainPlan:
        """The plan for a network and a configuration.

        Raises:
            ConfigError: If a name is unknown or a setting breaks a rule.
        """
        for module in config.plugins:
            plugins.load_plugin(module)
        task = full_task(network.task)
        name = config.recipe or network.recipe
        chosen = recipe(task.Recipe, name, config.settings)
        chosen.local_batch(config.workers)  # refuses what cannot be shared out
        if config.loader_workers and network.task != "image":
            raise ConfigError(
                f"loader_workers prepare images, got {config.loader_workers} for a network of the "
                f"task {network.task!r}"
            )
        update = {
            "recipe": name,
            "settings": chosen.model_dump(mode="json"),
            "data": config.data or plugins.space(network.space).data,
            "data_dir": config.data_dir and str(Path(config.data_dir).expanduser().absolute()),
        }
        return cls(config.model_copy(update=update), network, task, chosen)

    @property
    def rules(self) -> Rules:
        """How the training is brought to its end."""
        return Rules(self.recipe.rollbacks, self.recipe.release, self.config.checkpoint_every)

    def load_data(self) -> ProxyData:
        """Reads and checks the data.

        Raises:
            ConfigError: If the data set is unknown.
            DataError: If it is missing, broken or contradicts the network.
        """
        options = self.recipe.model_dump() | {"seed": 0, "data_dir": self.config.data_dir}
        request = DataRequest(spec=str(self.config.data), options=options)
        return self.task.load(request, self.network, self.recipe)

    def identity(self, fingerprint: str) -> dict[str, Any]:
        """Everything that can change a number, as plain data."""
        return {
            "network": self.network.sha256,
            "recipe": self.recipe.model_dump(mode="json", exclude=set(self.recipe.paths)),
            "data_fingerprint": fingerprint,
            "seed": self.config.seed,
            "checkpoint_every": self.config.checkpoint_every,
            "workers": self.config.workers,
            "threads": self.config.cpus_per_worker,
            "gpu": self.config.gpus_per_worker > 0,
        }
