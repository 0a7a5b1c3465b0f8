"""What a simulated training gives: how long it takes, and a measurement for the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from autoshrink_ray.counting import Place
from autoshrink_ray.objective import Objective
from autoshrink_ray.records import Evaluation, Measurement
from autoshrink_ray.seeds import derive_seed
from autoshrink_ray.work import Task

_FINE = 2**53


class Source(Protocol):
    """Where simulated trainings come from. Pure: the same task gives the same, in any order."""

    def measurement(self, task: Task) -> Measurement:
        """What training gives; its `seconds` are how long it holds a worker."""
        ...


@dataclass(frozen=True)
class Drawn:
    """Trainings that nobody has done: qualities are drawn, so each ranking is equally likely.

    Attributes:
        objective: Score whose metrics are filled in; all candidates cost the same.
        seconds: Seconds that trainings have taken, by the cell's number of edges; a training takes
            one of those with its number, or else with the nearest one.
        draw: Number of the draw; another one gives other decisions.
    """

    objective: Objective
    seconds: Mapping[int, tuple[float, ...]]
    draw: int = 0

    def measurement(self, task: Task) -> Measurement:
        key = task.candidate.topology.key
        quality = derive_seed("quality", self.draw, task.seed, key) % _FINE / _FINE
        metrics = {self.objective.quality_metric: quality, self.objective.cost_metric: 1e6}
        return Measurement(status="complete", metrics=metrics, seconds=self._seconds(task, key))

    def _seconds(self, task: Task, key: str) -> float:
        edges = len(task.candidate.topology.edges)
        nearest = min(self.seconds, key=lambda known: (abs(known - edges), known))
        pool = self.seconds[nearest]
        return pool[derive_seed("seconds", self.draw, task.seed, key) % len(pool)]


@dataclass(frozen=True)
class Recorded:
    """Trainings of a run's ledger, as they were; what it has not reached is drawn.

    Attributes:
        evaluations: What the ledger holds.
        drawn: Gives the others.
        seconds: What each training takes; None for what it took.
    """

    evaluations: Mapping[Place, Evaluation]
    drawn: Drawn
    seconds: float | None = None

    def measurement(self, task: Task) -> Measurement:
        known = self.evaluations.get(task.candidate.place)
        if known is None or known.candidate != task.candidate:
            return self.drawn.measurement(task)
        seconds = seconds_of(known) if self.seconds is None else self.seconds
        return known.measurement.model_copy(update={"seconds": seconds})


def seconds_of(evaluation: Evaluation) -> float:
    """Seconds that a worker was held by a training; of one taken over, what the other one took."""
    on_the_clock = max(0.0, evaluation.ended - evaluation.started)
    return evaluation.measurement.seconds if evaluation.cached else on_the_clock


def by_edges(evaluations: Mapping[Place, Evaluation]) -> dict[int, tuple[float, ...]]:
    """Seconds of the trainings in a ledger, by the cell's number of edges; copies do not count."""
    found: dict[int, list[float]] = {}
    for evaluation in evaluations.values():
        if not evaluation.cached:
            edges = len(evaluation.candidate.topology.edges)
            found.setdefault(edges, []).append(seconds_of(evaluation))
    return {edges: tuple(seconds) for edges, seconds in sorted(found.items())}
