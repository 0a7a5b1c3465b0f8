"""What travels between the driver and a trial: work one way, outcomes the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autoshrink_ray.records import Candidate, Evaluation, Measurement, Natural, Record

Loss = Literal["worker", "node", "preemption"]
"""What the infrastructure lost: a process, a whole node, or a node whose end Ray was told of."""


@dataclass(frozen=True)
class Retries:
    """How often the infrastructure may lose the same work. Announced preemptions are free.

    Attributes:
        worker: Losses of a worker process.
        node: Losses of a whole node: on spot machines that is nobody's fault.
        time_limit: Seconds after which a training is ended and counts as lost; None for none.
    """

    worker: int = 3
    node: int = 20
    time_limit: float | None = None


class Task(Record):
    """One candidate to train with one seed."""

    candidate: Candidate
    seed: Natural


class Work(Record):
    """What a trial is given.

    Attributes:
        tasks: Candidates to train, for a trial that carries candidates.
        search: Search to drive, for a trial that carries a whole search.
        known: What that search has found already.
        exclusive: The trial has its device for itself.
    """

    tasks: tuple[Task, ...] = ()
    search: Natural | None = None
    known: tuple[Evaluation, ...] = ()
    exclusive: bool = False


class Outcome(Record):
    """What a trial reports for one candidate.

    Attributes:
        candidate: Which one.
        measurement: What came out.
        started: Unix time at which training began.
        ended: Unix time at which training ended.
        node: Host that trained.
        cached: The measurement is an isomorphic candidate's.
    """

    candidate: Candidate
    measurement: Measurement
    started: float
    ended: float
    node: str
    cached: bool = False


@dataclass(frozen=True)
class Assignment:
    """Work that is out.

    Attributes:
        number: Unique within the run's driver.
        work: What the trial was given.
        queued: Unix time of the hand-out.
        attempt: How often this work has been handed out, this time included.
        losses: How many of the earlier times a worker process was lost.
        node_losses: How many of the earlier times a whole node was lost.
        lost_seconds: Wall seconds that the earlier times were worked on, all in vain.
    """

    number: int
    work: Work
    queued: float
    attempt: int = 1
    losses: int = 0
    node_losses: int = 0
    lost_seconds: float = 0.0


@dataclass(frozen=True)
class Activity:
    """What is being trained at a moment. What has no place on a worker yet is none of it.

    Attributes:
        running: Candidates in training, by search; a search that has none is not in it.
        busy: Workers that train.
        at_once: Workers that may train at a time.
    """

    running: Mapping[int, int]
    busy: int
    at_once: int
