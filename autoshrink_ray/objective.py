"""From metrics to a score: quality minus the logarithm of cost, higher is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from autoshrink_ray.errors import ConfigError, choices


@dataclass(frozen=True)
class Objective:
    """A named score (paper, section "Methodology").

    The score is `quality(q) - cost_weight * (log10(c) - 6)` with q and c the two metrics.

    Attributes:
        name: How configuration and files call it.
        quality_metric: Metric that training gives.
        cost_metric: Metric that the topology gives, a positive count.
        cost_weight: Score lost for a tenfold cost.
        quality: Turns the quality metric into points, more is better.
    """

    name: str
    quality_metric: str
    cost_metric: str
    cost_weight: float
    quality: Callable[[float], float]

    def quality_term(self, metrics: Mapping[str, float]) -> float:
        """Points for quality."""
        return self.quality(metrics[self.quality_metric])

    def cost_term(self, metrics: Mapping[str, float]) -> float:
        """Points taken away for cost; negative below a million."""
        return self.cost_weight * (math.log10(metrics[self.cost_metric]) - 6)

    def score(self, metrics: Mapping[str, float]) -> float:
        """The score, or NaN where a metric is missing, not finite or a cost not positive.

        A policy ranks finite scores only, so such a candidate never wins.
        """
        try:
            score = self.quality_term(metrics) - self.cost_term(metrics)
        except (KeyError, ValueError, OverflowError):
            return math.nan
        return score if math.isfinite(score) else math.nan


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("accuracy", "accuracy", "macs", 0.1, quality=lambda accuracy: accuracy),
        Objective(
            "perplexity",
            "perplexity",
            "cost",
            1.0,
            quality=lambda perplexity: 0.25 * (200 - perplexity),
        ),
    )
}
"""The paper's two: `accuracy` for images, `perplexity` for language models."""


def objective(name: str, cost_weight: float | None = None) -> Objective:
    """The objective called `name`, with its own weight of cost unless one is given.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in OBJECTIVES:
        raise ConfigError(f"unknown objective {name!r}; choose one of {choices(OBJECTIVES)}")
    found = OBJECTIVES[name]
    return found if cost_weight is None else replace(found, cost_weight=cost_weight)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the points that no other point beats, the cheapest first.

    A point beats another one if it is not worse in quality or cost, and better in one of them.
    Equal points do not beat each other. A point that is not finite is never on the front.

    Args:
        points: Quality, more is better, and cost, less is better.
    """
    finite = [place for place, point in enumerate(points) if all(map(math.isfinite, point))]
    cheapest = sorted(finite, key=lambda place: (points[place][1], -points[place][0]))
    front: list[int] = []
    for place in cheapest:
        last = points[front[-1]] if front else (-math.inf, math.inf)
        if points[place][0] > last[0] or points[place] == last:
            front.append(place)
    return front
