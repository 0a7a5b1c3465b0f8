"""How long a run will still take, from what its trainings have taken."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

_FEWEST = 20
"""Trainings that a pace is measured over, where there are as many: a few rounds."""

_WAVES = 4
"""The same in trainings for each worker: with fewer, the first and last ones would distort it."""


@dataclass(frozen=True)
class Trained:
    """One training.

    Attributes:
        ended: When the driver heard of its end, in seconds of any clock.
        seconds: Wall time of the training.
    """

    ended: float
    seconds: float


def eta(trained: Sequence[Trained], left: int, now: float) -> float | None:
    """Seconds until `left` more candidates are trained; None while nothing is measured.

    With m the median seconds of a training, and c the concurrency that was seen, which is the sum
    of all seconds by the time from the first beginning to the last end, a candidate is finished
    every m / c seconds. The next one is due that long after the last, so

        (left - 1) * m / c + max(0, m / c - time since the last end)

    Idle workers, overhead and waiting for the end of a round lower c, and so are in it.

    Args:
        trained: The trainings of the recent past, the last one last. Results that were taken over
            from elsewhere cost nothing and are not among them.
        left: Candidates without a result, those in training included.
        now: Time of the same clock as `ended`.
    """
    if not trained:
        return None
    if left < 1:
        return 0.0
    last = trained[-1].ended
    span = last - min(training.ended - training.seconds for training in trained)
    worked = sum(training.seconds for training in trained)
    typical = median(training.seconds for training in trained)
    step = typical * span / worked if worked > 0 else span / len(trained)
    return (left - 1) * step + max(0.0, step - max(0.0, now - last))


class Pace:
    """Remembers the recent past of a run."""

    def __init__(self) -> None:
        self._most_busy = 1
        self._trained: deque[Trained] = deque(maxlen=_FEWEST)

    def busy(self, workers: int) -> None:
        """Notes how many workers train: the more, the longer the past that counts."""
        if workers > self._most_busy:
            self._most_busy = workers
            self._trained = deque(self._trained, maxlen=max(_FEWEST, _WAVES * workers))

    def add(self, ended: float, seconds: float) -> None:
        """Notes a training."""
        self._trained.append(Trained(ended, seconds))

    def eta(self, left: int, now: float) -> float | None:
        """As the function `eta`."""
        return eta(self._trained, left, now)
