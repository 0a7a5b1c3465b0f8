"""What a run has cost, and what of that was lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from autoshrink_ray.analysis.timeline import Training, barrier_seconds
from autoshrink_ray.config import SearchConfig
from autoshrink_ray.records import Evaluation
from autoshrink_ray.results import Run


@dataclass(frozen=True)
class CostAccount:
    """The cost of all that a run's record counts.

    What a driver had in training when it was killed is in no record, and in no sum here.

    Attributes:
        evaluations: Candidates with a result, failed ones included.
        trials: Trainings that were begun for them, lost ones included.
        copies: Candidates that took over the result of an isomorphic one of this run.
        cache_hits: Candidates whose result another run had shared.
        failed: Evaluations without a result that can be ranked.
        lost: Trials that gave no result, because their worker was lost or its memory ran out.
        training_seconds: Wall time of the trainings that ended, failed ones included.
        failed_seconds: The part of it that went into failed evaluations.
        lost_seconds: Wall time of the lost trials, which is no part of it.
        device: What a trial holds: `GPU`, or `CPU` where it has none.
        devices_per_trial: How many of them, perhaps a part of one.
        queueing_seconds: From hand-out to start of training, summed over the trainings.
        barrier_seconds: Worker-seconds that were idle because rounds had to end, see
            `autoshrink_ray.analysis.timeline.barrier_seconds`.
        wall_seconds: From the first hand-out to the last end, summed over the driver's attempts.
    """

    evaluations: int
    trials: int
    copies: int
    cache_hits: int
    failed: int
    lost: int
    training_seconds: float
    failed_seconds: float
    lost_seconds: float
    device: Literal["GPU", "CPU"]
    devices_per_trial: float
    queueing_seconds: float
    barrier_seconds: float
    wall_seconds: float

    @property
    def cached(self) -> int:
        """Evaluations without a training of their own: copies and cache hits."""
        return self.copies + self.cache_hits

    @property
    def device_hours(self) -> float:
        """GPU-hours of training, or CPU-hours where trials have no GPU."""
        return self.training_seconds * self.devices_per_trial / 3600


def cost_account(run: Run) -> CostAccount:
    """What a run has cost so far.

    Raises:
        ConfigError: If the configuration in `run.yaml` is none.
    """
    evaluations = list(run.ledger.evaluations.values())
    trained = [e for e in evaluations if not e.cached]
    config = SearchConfig.of(run.file.config)
    copies = _copies(evaluations)
    return CostAccount(
        evaluations=len(evaluations),
        trials=sum(e.attempts for e in trained),
        copies=copies,
        cache_hits=len(evaluations) - len(trained) - copies,
        failed=sum(not e.complete for e in evaluations),
        lost=sum(max(0, e.attempts - 1) for e in trained),
        training_seconds=_seconds(trained),
        failed_seconds=_seconds(e for e in trained if not e.complete),
        lost_seconds=sum(e.lost_seconds for e in trained),
        device="GPU" if config.gpus_per_trial else "CPU",
        devices_per_trial=config.gpus_per_trial or config.cpus_per_trial,
        queueing_seconds=sum(max(0.0, e.started - e.queued) for e in trained),
        barrier_seconds=sum(barrier_seconds(_on_the_clock(part)) for part in _attempts(run)),
        wall_seconds=sum(_wall(part) for part in _attempts(run)),
    )


def _copies(evaluations: Iterable[Evaluation]) -> int:
    """Cached results beyond the first of each cell and seed: that one came from somewhere else."""
    trained: set[tuple[int, str]] = set()
    cached: dict[tuple[int, str], int] = {}
    for e in evaluations:
        identity = (e.seed, e.candidate.topology.key)
        if e.cached:
            cached[identity] = cached.get(identity, 0) + 1
        else:
            trained.add(identity)
    return sum(count - (identity not in trained) for identity, count in cached.items())


def _seconds(evaluations: Iterable[Evaluation]) -> float:
    return sum(e.measurement.seconds for e in evaluations)


def _attempts(run: Run) -> list[list[Evaluation]]:
    """The trainings of each attempt of the driver."""
    found: dict[str, list[Evaluation]] = {}
    for place, evaluation in run.ledger.evaluations.items():
        if not evaluation.cached:
            attempt = run.ledger.sources[place].split("/")[-2]
            found.setdefault(attempt, []).append(evaluation)
    return list(found.values())


def _on_the_clock(evaluations: Iterable[Evaluation]) -> list[Training]:
    return [Training(e.candidate.place[:2], e.started, e.ended) for e in evaluations]


def _wall(evaluations: list[Evaluation]) -> float:
    first = min(e.queued for e in evaluations)
    return max(0.0, max(e.ended for e in evaluations) - first)
