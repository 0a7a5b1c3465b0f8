"""When the training of a candidate ends: rules on numbers, free of torch and of data.

The rules and their constants are those of the paper's search ("Methodology"); a rule looks at the
epochs so far and either names itself or stays silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from autoshrink_ray.contracts import Settings

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

GOES_ON = ""
"""What a rule book answers while no rule fires."""


class MovingAverage:
    """Exponential moving average that starts at its first value.

    Args:
        decay: Weight of the past; 1 - decay is the weight of each new value.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.value = float("nan")
        self._empty = True

    def update(self, value: float) -> float:
        """Takes `value` in and returns the new average."""
        if self._empty:
            self.value, self._empty = value, False
        else:
            self.value = self.decay * self.value + (1 - self.decay) * value
        return self.value


@dataclass(frozen=True)
class ImageEpoch:
    """What the rules know of one epoch of an image network.

    Attributes:
        accuracy: Validation accuracy in [0, 1].
        loss: Validation loss.
        training_loss: Moving average of the batches' training losses at the end of the epoch.
    """

    accuracy: float
    loss: float
    training_loss: float


@dataclass(frozen=True)
class TextEpoch:
    """What the rules know of one epoch of a language model.

    Attributes:
        loss: Validation loss per target, in nats.
        training_loss: Moving average of the segments' training losses at the end of the epoch.
    """

    loss: float
    training_loss: float


class ImageStopRules(Settings):
    """Rules for image networks.

    Attributes:
        epochs: Most epochs of one candidate.
        patience: Epochs in a row without a better validation accuracy that end the training.
        slow_start_epoch: Epoch (from 1) after which a slow start is asked about, once.
        slow_start_accuracy: Validation accuracy below which it was one; 0 turns the rule off.
        diverged_ratio: Validation loss over training loss above which the training ends.
        converged_accuracy: Moving average of batch accuracy above which an epoch is left early;
            1 turns the rule off.
        average_decay: Decay of the moving averages of batch accuracy and training loss.
    """

    epochs: Count = 20
    patience: Count = 5
    slow_start_epoch: Count = 4
    slow_start_accuracy: Fraction = 0.2
    diverged_ratio: Positive = 3.0
    converged_accuracy: Fraction = 0.98
    average_decay: Decay = 0.99

    def stop_reason(self, history: Sequence[ImageEpoch]) -> str:
        """First rule that ends the training after the last epoch of `history`.

        Returns:
            `no_improvement`, `slow_start`, `overfitting`, `epochs`, or `GOES_ON`.
        """
        last = history[-1]
        # Negated: what must become better is then always the smaller number.
        if without_improvement([-epoch.accuracy for epoch in history]) >= self.patience:
            return "no_improvement"
        if len(history) == self.slow_start_epoch and last.accuracy < self.slow_start_accuracy:
            return "slow_start"
        if last.loss > self.diverged_ratio * last.training_loss:
            return "overfitting"
        return "epochs" if len(history) >= self.epochs else GOES_ON


class TextStopRules(Settings):
    """Rules for language models.

    Attributes:
        epochs: Most epochs of one candidate.
        patience: Epochs in a row without a better validation loss that end the training.
        diverged_ratio: Validation loss over training loss above which the training ends.
        average_decay: Decay of the moving average of training loss.
    """

    epochs: Count = 10
    patience: Count = 4
    diverged_ratio: Positive = 3.0
    average_decay: Decay = 0.9

    def stop_reason(self, history: Sequence[TextEpoch]) -> str:
        """First rule that ends the training after the last epoch of `history`.

        Returns:
            `no_improvement`, `overfitting`, `epochs`, or `GOES_ON`.
        """
        last = history[-1]
        if without_improvement([epoch.loss for epoch in history]) >= self.patience:
            return "no_improvement"
        if last.loss > self.diverged_ratio * last.training_loss:
            return "overfitting"
        return "epochs" if len(history) >= self.epochs else GOES_ON


def without_improvement(losses: Sequence[float]) -> int:
    """How many epochs have passed since the first of the lowest `losses`."""
    return len(losses) - 1 - losses.index(min(losses))
