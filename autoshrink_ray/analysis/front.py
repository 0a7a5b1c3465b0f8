"""Quality against MACs, over all that a run has trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from autoshrink_ray.objective import pareto_front
from autoshrink_ray.records import Evaluation
from autoshrink_ray.results import Run


@dataclass(frozen=True)
class ParetoPoint:
    """One measured cell.

    Attributes:
        search: The search's number in its run.
        round: The round, from 1.
        index: Place in the round's draw.
        quality: The run's quality metric as it is: accuracy, or perplexity.
        macs: MACs of the proxy network.
        score: Score, None where it is not finite.
        edges: Number of edges of the cell.
        on_front: Whether no other cell has better quality without more MACs, or fewer MACs
            without worse quality.
    """

    search: int
    round: int
    index: int
    quality: float
    macs: float
    score: float | None
    edges: int
    on_front: bool = False


def pareto(run: Run) -> list[ParetoPoint]:
    """The cells that a run has measured, by place.

    Copies of a result are left out, so each measurement is one point, and so are results without
    MACs or quality, and failed ones.
    """
    points = [_point(run, e) for e in _measured(run)]
    quality = run.objective.quality
    front = pareto_front([(quality(point.quality), point.macs) for point in points])
    chosen = set(front)
    return [replace(point, on_front=place in chosen) for place, point in enumerate(points)]


def _measured(run: Run) -> list[Evaluation]:
    """Complete evaluations with both metrics; of a cell and seed only the first."""
    needed = {run.objective.quality_metric, "macs"}
    found: dict[tuple[int, str], Evaluation] = {}
    for evaluation in run.ledger.evaluations.values():
        if evaluation.complete and needed <= evaluation.measurement.metrics.keys():
            identity = (evaluation.seed, evaluation.candidate.topology.key)
            found.setdefault(identity, evaluation)
    return list(found.values())


def _point(run: Run, evaluation: Evaluation) -> ParetoPoint:
    metrics, score = evaluation.measurement.metrics, _score(run, evaluation)
    search, number, index = evaluation.candidate.place
    return ParetoPoint(
        search=search,
        round=number,
        index=index,
        quality=metrics[run.objective.quality_metric],
        macs=metrics["macs"],
        score=score,
        edges=len(evaluation.candidate.topology.edges),
    )


def _score(run: Run, evaluation: Evaluation) -> float | None:
    score = run.objective.score(evaluation.measurement.metrics)
    return score if math.isfinite(score) else None
