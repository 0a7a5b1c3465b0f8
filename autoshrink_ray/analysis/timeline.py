"""Where the time of workers went that trained nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autoshrink_ray.counting import Round


@dataclass(frozen=True)
class Training:
    """One training on the clock.

    Attributes:
        round: Search and round that it belongs to.
        started: Unix time at which it began.
        ended: Unix time at which it ended.
    """

    round: Round
    started: float
    ended: float


def most_at_once(trainings: Iterable[Training]) -> int:
    """The largest number of trainings in progress at one time; one that ends makes room first."""
    changes = (change for _, change in _busy([t for t in trainings if t.ended > t.started]))
    return max(itertools.accumulate(changes), default=0)


def barrier_seconds(trainings: Iterable[Training]) -> float:
    """Worker-seconds that were idle only because rounds had to end.

    A round is *ending* from the start of its last training to the end of all of them: none of its
    candidates is left for an idle worker. While something is trained and each round that has
    begun is ending, every worker that trains nothing waits for a barrier. There are as many
    workers as were ever seen busy at once.

    Args:
        trainings: Of one attempt of the driver.
    """
    trainings = [t for t in trainings if t.ended > t.started]
    workers = most_at_once(trainings)
    steps = [(time, change, 0) for time, change in _busy(trainings)]
    steps += [(time, 0, change) for time, change in _handing_out(trainings)]
    idle, busy, handing_out = 0.0, 0, 0
    for (time, trained, rounds), (after, *_) in itertools.pairwise(sorted(steps)):
        busy, handing_out = busy + trained, handing_out + rounds
        if busy and not handing_out:
            idle += (workers - busy) * (after - time)
    return idle


def _busy(trainings: list[Training]) -> list[tuple[float, int]]:
    """How the number of busy workers changes, in time; ends before starts."""
    steps = [(t.started, 1) for t in trainings], [(t.ended, -1) for t in trainings]
    return sorted(itertools.chain(*steps))


def _handing_out(trainings: list[Training]) -> Iterator[tuple[float, int]]:
    """How the number of rounds changes that have begun and still have candidates to start."""
    starts: dict[Round, list[float]] = {}
    for training in trainings:
        starts.setdefault(training.round, []).append(training.started)
    for times in starts.values():
        yield min(times), 1
        yield max(times), -1
