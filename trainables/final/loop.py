"""A training from where it is to its end: epochs, checkpoints, and the way back from NaN."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from autoshrink_ray.errors import FileFormatError, RunError, StorageError
from trainables.final.checkpoints import Checkpoint, Checkpoints, EpochRecord
from trainables.final.contracts import Training, World
from trainables.measure import DivergedError


@dataclass(frozen=True)
class Rules:
    """How a training is brought to its end.

    Attributes:
        rollbacks: How often a training that diverges goes back to its best checkpoint.
        release: Whose weights are shipped: those of the `best` epoch or of the `last` one.
        checkpoint_every: Epochs from one checkpoint to the next; the last one always has one.
    """

    rollbacks: int = 0
    release: Literal["best", "last"] = "last"
    checkpoint_every: int = 1


class Listener(Protocol):
    """Hears of a training while it goes; in process 0 only."""

    def epoch(self, record: EpochRecord) -> None:
        """An epoch is finished and, where it has one, its checkpoint written."""
        ...

    def note(self, text: str) -> None:
        """Something happened that a user should know."""
        ...


@dataclass(frozen=True)
class Released:
    """What a training leaves.

    Attributes:
        weights: A `state_dict` of the network.
        record: Record of the epoch that they come from.
    """

    weights: dict[str, Tensor]
    record: EpochRecord


class TrainingLoop:
    """Runs one training in all its processes alike; process 0 alone writes.

    Args:
        begin: Makes the training at its beginning.
        checkpoints: Where it goes on from, and what it writes.
        rules: How it ends.
        world: The processes that train together.
        device: Where the processes' tensors meet.
        listener: Told of epochs.
    """

    def __init__(
        self,
        begin: Callable[[], Training],
        checkpoints: Checkpoints,
        rules: Rules,
        listener: Listener,
        world: World | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._begin = begin
        self._checkpoints = checkpoints
        self._rules = rules
        self._listener = listener
        self._world = world or World()
        self._device = device or torch.device("cpu")
        self._history: list[EpochRecord] = []
        self._attempt = 0

    def run(self) -> Released:
        """Goes on from the newest checkpoint, or begins, and trains to the end.

        Raises:
            RunError: If the training diverges once more than the rules allow, or a checkpoint
                cannot be written or read; those that are complete can still be used.
        """
        training = self._resumed(self._begin(), self._common(self._checkpoints.latest))
        while not training.finished:
            started = time.perf_counter()
            try:
                metrics = training.run_epoch(self._attempt)
            except DivergedError as error:
                reason = str(error)  # the error itself holds on to the training
            else:
                self._finish_epoch(training, metrics, time.perf_counter() - started)
                continue
            del training
            training = self._put_back(reason)
        return self._release(training)

    def _resumed(self, training: Training, checkpoint: Checkpoint | None) -> Training:
        if checkpoint is not None:
            with _failures("cannot go on from a checkpoint"):
                training.restore(checkpoint.state)
            self._history = list(checkpoint.manifest.history)
            self._attempt = max(self._attempt, checkpoint.manifest.attempt)
        return training

    def _put_back(self, reason: str) -> Training:
        """A training at the best checkpoint, or at the beginning where there is none."""
        if self._attempt >= self._rules.rollbacks:
            raise RunError(
                f"the training {reason}; it was put back {self._attempt} times, and the recipe "
                f"allows rollbacks {self._rules.rollbacks}"
            )
        self._attempt += 1
        self._history = []
        training = self._resumed(self._begin(), self._common(self._checkpoints.best))
        if self._writes:
            self._listener.note(
                f"the training {reason}: it goes back to epoch {training.epochs_done}, "
                f"attempt {self._attempt}"
            )
        return training

    def _finish_epoch(self, training: Training, metrics: dict[str, float], seconds: float) -> None:
        epoch = training.epochs_done
        place = {"epoch": epoch, "attempt": self._attempt, "seconds": seconds}
        self._history.append(place | metrics)
        if training.finished or epoch % self._rules.checkpoint_every == 0:
            state = training.state()
            if self._writes:
                with _failures(f"epoch {epoch} has no checkpoint, earlier ones are kept"):
                    self._checkpoints.write(state, self._history)
        if self._writes:
            self._listener.epoch(self._history[-1])

    def _release(self, training: Training) -> Released:
        record = self._history[-1]
        if self._rules.release == "best":
            best = self._common(self._checkpoints.best)
            if best is None:
                raise RunError("the best checkpoint is gone: it was deleted or damaged")
            with _failures("cannot release the best checkpoint"):
                training.restore(best.state)
            record = best.manifest.history[-1]
        return Released(training.weights(), record)

    @property
    def _writes(self) -> bool:
        return self._world.rank == 0

    def _common(self, choose: Callable[[], Checkpoint | None]) -> Checkpoint | None:
        """The checkpoint that process 0 chooses, in every process.

        The others wait for the choice, so process 0 has written before they read.
        """
        with _failures("cannot read the checkpoints"):
            chosen = choose() if self._writes else None
            if self._world.size == 1:
                return chosen
            age = chosen.manifest.age if chosen else (0, 0)
            numbers = torch.tensor(age, dtype=torch.int64, device=self._device)
            attempt, epoch = self._world.sum(numbers).tolist()
            if chosen is None and epoch:
                chosen = self._checkpoints.read(epoch, attempt)
            return chosen


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """A storage that gives way while a training goes is no wrong usage."""
    try:
        yield
    except (StorageError, FileFormatError) as error:
        raise RunError(f"{what}: {error}") from error
