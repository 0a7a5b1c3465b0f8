"""A language model in full training: SGD, then the average of what SGD passes through."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from pydantic import BaseModel, ValidationError, model_validator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from autoshrink_ray.errors import FileFormatError
from autoshrink_ray.files import explain
from autoshrink_ray.records import Natural
from autoshrink_ray.seeds import derive_seed
from search_spaces.build import build
from search_spaces.network import NetworkFile
from trainables.batches import segments, text_columns
from trainables.final.contracts import EVER_THE_SAME_SUMS, Setup, State, World
from trainables.final.text_recipe import TextRecipe
from trainables.final.weights import load_weights
from trainables.measure import require_finite
from trainables.text import next_word_loss, perplexity, text_loss

_CHECK_EVERY = 100
"""Segments after which the loss is looked at: each look waits for the device."""


def stays(losses: Sequence[float], patience: int) -> bool:
    """Whether the last of `losses` is not below the least of those before it but for `patience`.

    The non-monotonic trigger of AWD-LSTM (Merity, Keskar and Socher 2018, algorithm 1).

    Args:
        losses: Validation loss of each epoch so far, all finite.
        patience: So many epochs just before the last one do not count.
    """
    earlier = losses[: -(patience + 1)]
    return len(earlier) > 0 and losses[-1] >= min(earlier)


class _Position(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Where a training is, apart from its weights.

    Attributes:
        epochs_done: Epochs that are finished.
        losses: Validation loss after each of them.
        averaged_steps: Steps that the average is of; None before averaging begins.
    """

    epochs_done: Natural = 0
    losses: tuple[float, ...] = ()
    averaged_steps: Natural | None = None

    @model_validator(mode="after")
    def _has_a_loss_for_each_epoch(self) -> _Position:
        if len(self.losses) != self.epochs_done:
            raise ValueError(
                f"there is a loss for each epoch, got {len(self.losses)} and {self.epochs_done}"
            )
        return self


class _SegmentObjective(nn.Module):
    """What a step makes smaller, as the module whose gradients the processes average."""

    def __init__(self, network: Any, temporal_regularisation: float) -> None:
        super().__init__()
        self.network = network
        self._factor = temporal_regularisation

    def forward(self, rows: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Objective, loss summed over the targets, and the state after the segment."""
        outputs, state = self.network.features(rows[:-1], state)
        targets = rows[1:]
        loss = next_word_loss(self.network, outputs, targets)
        objective = loss / targets.numel()
        if self._factor:
            objective = objective + self._factor * _mean_squared_change(outputs)
        return objective, loss.detach(), state.detach()


def _mean_squared_change(outputs: Tensor) -> Tensor:
    """Mean of the squared differences along the first dimension; 0 for a single row."""
    changes = outputs[1:] - outputs[:-1]
    return changes.square().sum() / max(1, changes.numel())


class TextTraining:
    """A language model in training; see `trainables.final.contracts.Training`.

    Averaging is ASGD with t0 = 0 and lambda = 0: the steps stay SGD's, and validated and shipped
    is the mean of the weights after each step. (`torch.optim.ASGD` takes each step with the
    learning rate of the step before, which would be another segment's.)

    Each process trains on its share of the columns, and gradients are averaged over processes.

    Raises:
        ConfigError: If the processes cannot have equally many columns.
    """

    def __init__(self, setup: Setup) -> None:
        recipe: TextRecipe = setup.recipe
        recipe.local_batch(setup.world.size)  # refuses what cannot be shared out
        self._recipe, self._compute, self._world = recipe, setup.compute, setup.world
        self._seed = setup.seed
        device = self._compute.device
        self._train = _share(text_columns(setup.data.train, recipe.batch_size), self._world)
        self._train = self._train.to(device)
        self._valid = text_columns(setup.data.valid, recipe.valid_batch_size).to(device)
        self._network = self._untrained(setup.network)
        self._optimizer = torch.optim.SGD(
            self._network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self._objective = self._averaging_gradients(
            _SegmentObjective(self._network, recipe.temporal_regularisation)
        )
        self._average: Any = None
        self._averaged_steps = 0
        self._losses: list[float] = []
        self.epochs_done = 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epochs_done >= self._recipe.epochs

    def run_epoch(self, attempt: int) -> dict[str, float]:
        """Trains on the whole text once and validates; see `Training.run_epoch`."""
        epoch = self.epochs_done + 1
        rank = self._world.rank
        with self._compute.seeded(derive_seed(self._seed, "epoch", epoch, attempt, rank)):
            training_loss = self._train_epoch(epoch, attempt)
            loss = mean_loss(self._shipped, self._valid, self._recipe.bptt, self._world)
        metrics = {
            "training_loss": training_loss,
            "loss": loss,
            "perplexity": perplexity(loss, f"epoch {epoch}: validation loss"),
            "learning_rate": self._recipe.learning_rate,
        }
        self.epochs_done = epoch
        self._losses.append(loss)
        if self._average is None and stays(self._losses, self._recipe.patience_to_average):
            self._start_averaging()
        return metrics

    def state(self) -> State:
        """What `restore` needs, as copies on the CPU."""
        tensors = _copies(self._network, "network.")
        if self._average is not None:
            tensors |= _copies(self._average, "average.")
        steps = None if self._average is None else self._averaged_steps
        position = _Position(
            epochs_done=self.epochs_done, losses=tuple(self._losses), averaged_steps=steps
        )
        return State(tensors, position.model_dump(mode="json"))

    def restore(self, state: State) -> None:
        """Goes on from `state`; see `Training.restore`."""
        try:
            position = _Position.model_validate(state.values)
        except ValidationError as error:
            raise FileFormatError(f"the checkpoint is no language model's: {explain(error)}") from (
                error
            )
        parts = _parts(state.tensors)
        if ("average" in parts) != (position.averaged_steps is not None):
            raise FileFormatError("the checkpoint has averages where it has averaged_steps")
        load_weights(self._network, parts.get("network", {}), "the checkpoint's weights")
        self._average = None
        if position.averaged_steps is not None:
            self._start_averaging()
            load_weights(self._average, parts.get("average", {}), "the checkpoint's averages")
        self._averaged_steps = position.averaged_steps or 0
        self._losses = list(position.losses)
        self.epochs_done = position.epochs_done

    def weights(self) -> dict[str, Tensor]:
        """Copies of the averaged weights, or of the last ones where there is no average."""
        return _copies(self._shipped)

    @property
    def _shipped(self) -> Any:
        return self._network if self._average is None else self._average

    def _untrained(self, network: NetworkFile) -> Any:
        reach = self._recipe.embedding_range
        with self._compute.seeded(derive_seed(self._seed, "weights")):
            module = build(network)
            nn.init.uniform_(module.embedding.weight, -reach, reach)
            nn.init.zeros_(module.decoder_bias)
        return module.to(self._compute.device)

    def _averaging_gradients(self, objective: nn.Module) -> nn.Module:
        if self._world.size == 1:
            return objective
        device = self._compute.device
        return DistributedDataParallel(
            objective,
            device_ids=[device] if device.type == "cuda" else None,
            **EVER_THE_SAME_SUMS,
        )

    def _start_averaging(self) -> None:
        self._optimizer.zero_grad()  # a copy would have the gradients as well
        self._average = copy.deepcopy(self._network).requires_grad_(False)
        self._averaged_steps = 0

    def _train_epoch(self, epoch: int, attempt: int) -> float:
        """Trains on the whole text once; the mean loss per target, before each step."""
        recipe, columns = self._recipe, self._train
        self._network.train()
        state = self._network.initial_state(columns.shape[1])
        total = torch.zeros((), dtype=torch.float64, device=self._compute.device)
        for number, (start, length) in enumerate(self._segments(epoch, attempt), start=1):
            rate = recipe.learning_rate * length / recipe.bptt
            loss, state = self._step(columns[start : start + length + 1], state, rate)
            total += loss
            if number % _CHECK_EVERY == 0:
                self._sum(total, f"epoch {epoch}, segment {number}: training loss")
        targets = columns[1:].numel() * self._world.size
        return self._sum(total, f"epoch {epoch}: training loss") / targets

    def _segments(self, epoch: int, attempt: int) -> Iterator[tuple[int, int]]:
        """The same in all processes, whose gradients belong together."""
        recipe, seed = self._recipe, derive_seed(self._seed, "segments", epoch, attempt)
        generator = torch.Generator().manual_seed(seed)
        return segments(
            *(len(self._train), recipe.bptt, recipe.half_length_probability, generator),
            jitter=recipe.jitter,
        )

    def _step(self, rows: Tensor, state: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.zero_grad()
        objective, loss, state = self._objective(rows, state)
        torch.autograd.backward(objective)
        nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip)
        self._optimizer.step()
        if self._average is not None:
            self._take_into_average()
        return loss, state

    @torch.no_grad()
    def _take_into_average(self) -> None:
        self._averaged_steps += 1
        averages, latest = self._average.parameters(), self._network.parameters()
        for average, parameter in zip(averages, latest, strict=True):
            average.lerp_(parameter, 1 / self._averaged_steps)

    def _sum(self, loss: Tensor, place: str) -> float:
        """Sum over the processes, so that all of them see that one diverged."""
        return require_finite(self._world.sum(loss.clone()).item(), place)


def _share(columns: Tensor, world: World) -> Tensor:
    """This process's part of the columns (T, B), none if there are fewer than processes."""
    return columns.tensor_split(world.size, dim=1)[world.rank]


@torch.inference_mode()
def mean_loss(network: Any, columns: Tensor, rows: int, world: World) -> float:
    """Loss of a language model on a whole text; puts the model into evaluation mode.

    Args:
        network: A `trainables.text.TextNetwork`.
        columns: (T, B) word numbers, all of them in each process.
        rows: How many rows are computed at a time; no matter for the result.
        world: The processes that share the work.

    Returns:
        Mean over the (T - 1) * B targets, in nats; possibly not finite.
    """
    total = world.sum(text_loss(network, _share(columns, world), rows))
    return total.item() / columns[1:].numel()


def _copies(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    weights = module.state_dict().items()
    return {f"{prefix}{name}": weight.detach().to("cpu", copy=True) for name, weight in weights}


def _parts(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each prefix, without it."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition(".")
        parts.setdefault(prefix, {})[rest] = tensor
    return parts
