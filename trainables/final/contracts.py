"""What a full training is, whatever it trains.

A *task* loads data and makes a *training*; the loop runs the training epoch by epoch, writes
checkpoints and goes on from them. All randomness of an epoch follows from (seed, epoch, attempt),
so a training that goes on from a checkpoint ends where one that was never stopped ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from autoshrink_ray.contracts import DataRequest, ProxyData
from search_spaces.network import NetworkFile
from trainables.device import Compute
from trainables.final.recipes import Recipe


@dataclass(frozen=True)
class World:
    """The processes that train one network together.

    Attributes:
        rank: Number of this process, from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    def sum(self, tensor: Tensor) -> Tensor:
        """Elementwise sum of every process's `tensor`, in place; each has to call it."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor


EVER_THE_SAME_SUMS: dict[str, Any] = {"find_unused_parameters": True}
"""Options of `DistributedDataParallel` with which a training can go on bit for bit.

Otherwise it sorts its gradients anew after its first step, so that three and more processes add
them in another order than those that started again.
"""


@dataclass(frozen=True)
class State:
    """Everything that a training needs to go on, as plain data.

    Attributes:
        tensors: Weights, their averages, optimiser state; contiguous, on the CPU when written.
        values: Whatever else, as JSON knows it.
    """

    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Setup:
    """What a training is made from.

    Attributes:
        network: The network to train.
        recipe: How it is trained.
        data: What the task's `load` returned.
        compute: Device and threads of this process.
        world: All processes of the training.
        seed: Decides the first weights and everything random.
        loader_workers: Processes that read and prepare images for this one; 0 for none.
        note: Takes what a user should know, such as images that are damaged.
    """

    network: NetworkFile
    recipe: Any
    data: Any
    compute: Compute
    world: World = field(default_factory=World)
    seed: int = 0
    loader_workers: int = 0
    note: Callable[[str], None] = lambda text: None


class Training(Protocol):
    """A network in training.

    Attributes:
        epochs_done: Epochs that are finished.
    """

    epochs_done: int

    @property
    def finished(self) -> bool:
        """Whether the recipe ends here."""
        ...

    def run_epoch(self, attempt: int) -> dict[str, float]:
        """Trains one epoch and validates.

        Args:
            attempt: How often the training was put back so far: another one, other random numbers.

        Returns:
            `training_loss`, `loss` (validation), `accuracy` or `perplexity` (validation),
            `learning_rate`, equal in all processes.

        Raises:
            DivergedError: If a loss is not finite, in all processes alike.
        """
        ...

    def state(self) -> State:
        """What `restore` needs."""
        ...

    def restore(self, state: State) -> None:
        """Goes on from `state`, which comes from the same network and recipe.

        Raises:
            FileFormatError: If it does not fit.
        """
        ...

    def weights(self) -> dict[str, Tensor]:
        """The weights to ship, averaged if the recipe averages: a `state_dict` of the network."""
        ...


class FullTask(Protocol):
    """How networks of one kind are trained in full and evaluated.

    Attributes:
        quality: Metric that tells which epoch is better: `accuracy` or `perplexity`.
        Recipe: Settings of the training.
        splits: Splits that can be evaluated.
    """

    quality: str
    Recipe: type[Recipe]
    splits: tuple[str, ...]

    def load(self, request: DataRequest, network: NetworkFile, recipe: Any) -> ProxyData:
        """Reads the data, or what is needed to read them batch by batch. Runs on the driver.

        Raises:
            DataError: With the rule and the value, also where classes or sizes of the data
                contradict the network.
        """
        ...

    def require_trainable(self, data: Any, recipe: Any) -> None:
        """Checks that there is enough to train on. Runs on the driver.

        Raises:
            DataError: If the training data do not fill a step.
        """
        ...

    def inputs(self, recipe: Any, data: Any) -> dict[str, Any]:
        """What a user of the weights has to know to feed the network, as plain data.

        Images: `mean`, `std`, `image_size`, `crop`, `class_names`; text: `vocabulary`.
        """
        ...

    def training(self, setup: Setup) -> Training:
        """A training at its beginning. Runs in every process."""
        ...

    def evaluate(
        self,
        module: torch.nn.Module,
        data: Any,
        split: str,
        inputs: Mapping[str, Any],
        setup: Setup,
    ) -> dict[str, float]:
        """Metrics of a trained network on a split.

        Images: `accuracy` (top-1), `top5_accuracy`, `loss`; text: `perplexity`, `loss`.

        Args:
            module: The network with its weights, on `setup.compute.device`.
            data: What `load` returned.
            split: One of `splits`.
            inputs: What `inputs` returned when the network was trained.
            setup: Device, batch sizes (from the recipe).
        """
        ...
