"""Trained networks, and what they reach on a split of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from autoshrink_ray.config import merge
from autoshrink_ray.errors import ConfigError, choices
from autoshrink_ray.storage import Folder
from search_spaces.build import build
from search_spaces.network import NetworkFile
from trainables.data import TextSet
from trainables.device import Compute
from trainables.final.config import TrainConfig, TrainPlan
from trainables.final.contracts import Setup
from trainables.final.folder import WEIGHTS, TrainingRun
from trainables.final.weights import WeightsCard, check_belongs, load_weights, read_weights


@dataclass(frozen=True)
class Trained:
    """A network with weights that fit it.

    Attributes:
        network: The network.
        weights: Its `state_dict`; the averaged weights where the training averaged.
        card: Card of the weights.
        config: How it was trained: where its data are and its recipe, as far as that is known.
        place: What error messages call the weights.
    """

    network: NetworkFile
    weights: Mapping[str, Tensor]
    card: WeightsCard
    config: TrainConfig = field(default_factory=TrainConfig)
    place: str = "the weights"

    @classmethod
    def from_training(cls, run: TrainingRun, weights: str | None = None) -> Trained:
        """What a training has trained.

        Args:
            run: The training.
            weights: Path or URI of other weights of its network; None for the training's own.

        Raises:
            StorageError: If there are no weights.
            FileFormatError: If a file is damaged.
        """
        # Importing what a file names would be to execute it: plug-ins are named by the user.
        config = TrainConfig.of({**run.file.config, "plugins": ()})
        if weights is not None:
            return cls.from_files(run.network, weights, config)
        place = run.folder.child(WEIGHTS).location
        return cls(run.network, *read_weights(run.weights, place), config, place)

    @classmethod
    def from_files(
        cls, network: NetworkFile, weights: str, config: TrainConfig | None = None
    ) -> Trained:
        """A network with the weights at a path or URI.

        Raises:
            StorageError: If they cannot be read.
            FileFormatError: If they are damaged.
        """
        content = Folder(weights).read("")
        return cls(network, *read_weights(content, weights), config or TrainConfig(), weights)

    def plan(self, **changes: Any) -> TrainPlan:
        """Data and recipe, with fields of `TrainConfig` that override; `settings` are merged.

        Raises:
            ConfigError: If one is unknown or breaks a rule.
        """
        config = self.config.model_dump(exclude_unset=True)
        return TrainPlan.of(self.network, TrainConfig.of(merge(config, changes)))

    def module(self) -> nn.Module:
        """The network with its weights, on the CPU and in evaluation mode.

        Raises:
            FileFormatError: If the weights do not fit, naming the first mismatch, or belong to
                another network.
        """
        with torch.random.fork_rng(devices=[]):
            module: nn.Module = build(self.network)
        load_weights(module, self.weights, self.place)
        check_belongs(self.card, self.network, self.place)
        return module.eval()


@dataclass(frozen=True)
class Evaluation:
    """What a trained network reaches on a split.

    Attributes:
        split: The split.
        examples: Images or words in it.
        metrics: See `trainables.final.contracts.FullTask.evaluate`.
        data: The data set in one line.
        device: What computed.
    """

    split: str
    examples: int
    metrics: Mapping[str, float]
    data: str
    device: str


def evaluate(
    trained: Trained,
    split: str = "valid",
    *,
    batch_size: int | None = None,
    gpu: bool = True,
    note: Callable[[str], None] = lambda text: None,
    **changes: Any,
) -> Evaluation:
    """Evaluates a trained network.

    Args:
        trained: The network and its weights.
        split: Part of the data; images have `train` and `valid`, texts `test` as well.
        batch_size: Images at a time, or columns in which a text is read side by side; None for
            the recipe's.
        gpu: Whether a GPU is used where there is one.
        note: Told of images that are passed over since they are damaged.
        **changes: Fields of `TrainConfig` that override the training's, such as `data`.

    Raises:
        ConfigError: If there is no such split or data set, or a setting breaks a rule.
        FileFormatError: If the weights do not fit the network.
        DataError: If the data are missing, damaged or contradict the network.
        RunError: If the loss is not finite.
    """
    module = trained.module()
    plan = trained.plan(**changes)
    if split not in plan.task.splits:
        raise ConfigError(f"unknown split {split!r}; choose one of {choices(plan.task.splits)}")
    if batch_size is not None:
        named = f"{split}_batch_size"
        option = named if split == "test" and named in plan.task.Recipe.model_fields else _VALID
        plan = trained.plan(**merge(changes, {"settings": {option: batch_size}}))
    data: Any = plan.load_data()
    compute = Compute.available(
        threads=torch.get_num_threads(), gpu=gpu, deterministic=plan.recipe.deterministic
    )
    setup = Setup(trained.network, plan.recipe, data, compute, note=note)
    metrics = plan.task.evaluate(module.to(compute.device), data, split, trained.card.inputs, setup)
    return Evaluation(split, _examples(data, split), metrics, data.summary, compute.name)


_VALID = "valid_batch_size"


def _examples(data: Any, split: str) -> int:
    return len(getattr(data, split) if isinstance(data, TextSet) else data.source(split))
