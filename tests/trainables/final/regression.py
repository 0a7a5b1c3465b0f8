"""A real training, as small as one can be: linear regression with momentum and random batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from autoshrink_ray.seeds import derive_seed
from trainables.final.checkpoints import EpochRecord
from trainables.final.contracts import State, World
from trainables.measure import require_finite

_generator = torch.Generator().manual_seed(0)
INPUTS = torch.randn(32, 4, generator=_generator)
TARGETS = INPUTS @ torch.tensor([1.0, -2.0, 3.0, 0.5]) + 0.1 * torch.randn(32, generator=_generator)


class Regression:
    """See `trainables.final.contracts.Training`.

    Args:
        epochs: Epochs to train.
        bad: Pairs (epoch, attempt) in which it diverges.
        worse_after: From here on the reported accuracy falls.
    """

    def __init__(
        self,
        epochs: int = 6,
        bad: frozenset[tuple[int, int]] = frozenset(),
        worse_after: int = 1000,
        world: World | None = None,
    ) -> None:
        self._network = torch.nn.Linear(4, 1)
        torch.nn.init.zeros_(self._network.weight)
        torch.nn.init.zeros_(self._network.bias)
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=0.02, momentum=0.9)
        self._epochs, self._bad, self._worse_after = epochs, bad, worse_after
        self._world = world or World()
        self.epochs_done = 0

    @property
    def finished(self) -> bool:
        return self.epochs_done >= self._epochs

    def run_epoch(self, attempt: int) -> dict[str, float]:
        epoch = self.epochs_done + 1
        generator = torch.Generator().manual_seed(derive_seed(0, epoch, attempt))
        loss = 0.0
        for _ in range(4):
            loss = self._step(torch.randperm(32, generator=generator)[:8])
        if (epoch, attempt) in self._bad:
            loss = math.nan
        require_finite(loss, f"epoch {epoch}: training loss")
        self.epochs_done = epoch
        accuracy = epoch / 1000 if epoch <= self._worse_after else 1 / (1000 * epoch)
        return {"training_loss": loss, "loss": loss, "accuracy": accuracy, "learning_rate": 0.02}

    def _step(self, chosen: Tensor) -> float:
        loss = (self._network(INPUTS[chosen]).squeeze(1) - TARGETS[chosen]).square().mean()
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        for parameter in self._network.parameters():
            assert parameter.grad is not None
            self._world.sum(parameter.grad).div_(self._world.size)
        self._optimizer.step()
        return loss.item()

    def state(self) -> State:
        tensors = dict(self._network.state_dict())
        for name, parameter in self._network.named_parameters():
            momentum = self._optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        return State(tensors, {"epochs_done": self.epochs_done})

    def restore(self, state: State) -> None:
        weights = {n: t for n, t in state.tensors.items() if not n.startswith("momentum.")}
        self._network.load_state_dict(weights)
        for name, parameter in self._network.named_parameters():
            momentum = state.tensors[f"momentum.{name}"].clone()
            self._optimizer.state[parameter]["momentum_buffer"] = momentum
        self.epochs_done = state.values["epochs_done"]

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self._network.state_dict().items()}


class Death(BaseException):
    """Stands for SIGKILL: nobody catches it."""


class Notes:
    """Notes what it hears, and does something after epoch number `at` of those that it hears."""

    def __init__(self, at: int = -1, action: Callable[[], Any] = lambda: None) -> None:
        self.records: list[EpochRecord] = []
        self.texts: list[str] = []
        self._at, self._action = at, action

    def epoch(self, record: EpochRecord) -> None:
        self.records.append(record)
        if len(self.records) == self._at:
            self._action()

    def note(self, text: str) -> None:
        self.texts.append(text)


def die() -> None:
    raise Death
