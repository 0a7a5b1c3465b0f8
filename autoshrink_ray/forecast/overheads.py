"""What a run takes beside its trainings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Overheads:
    """Seconds that go by without training.

    Attributes:
        start: From the command to the first hand-out: imports, Ray, data.
        worker: From the hand-out to the first training of a worker process that is new.
        candidate: From one training to the next on a worker that is warm.
        round: From a round's last result to the hand-out of the next round.
        end: From the last result to the return of the command.
        node: Until a node is up that an autoscaler has to start; once, at the beginning.
    """

    start: float = 0.0
    worker: float = 0.0
    candidate: float = 0.0
    round: float = 0.0
    end: float = 0.0
    node: float = 0.0


NONE = Overheads()
"""Trainings and barriers alone."""

MEASURED = Overheads(start=8.0, worker=2.7, candidate=0.02, round=0.001, end=2.6)
"""A local Ray on two cores of an AMD EPYC; `scripts/bench forecast` measures them elsewhere."""
