"""How large a difference of scores has to be before it says anything."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from autoshrink_ray.analysis.rounds import round_views
from autoshrink_ray.results import Run

LEAST_CURVES = 5
"""Validation curves of three epochs that an estimate from curves rests on at least."""

_MEDIAN_TO_SD = statistics.NormalDist().inv_cdf(0.75)
"""Median of the absolute value of a normal variable with standard deviation 1."""


@dataclass(frozen=True)
class Noise:
    """Standard deviation that scores of a run have for no reason that lies in their cells.

    Attributes:
        value: In units of score, above 0; None if the run tells nothing.
        source: What it was estimated from, in words.
    """

    value: float | None
    source: str

    def units(self, difference: float | None) -> float | None:
        """A difference of scores as a multiple of the noise; None where either is not known."""
        if difference is None or self.value is None:
            return None
        return difference / self.value


def noise(run: Run) -> Noise:
    """The noise that a run shows itself.

    The last three values q of a validation curve, as points of score, lie on a line but for their
    noise: q'' = q_n - 2 q_(n-1) + q_(n-2) has variance 6 s^2 where each value has variance s^2.
    So s is estimated by median |q''| / (0.6745 sqrt(6)) over all trainings of the run, which a
    few wild curves do not move. That is how much one training jumps from epoch to epoch. It is
    not how much two trainings of one cell with different seeds differ, which a run that trains
    each cell once cannot show.

    With fewer than five such curves, or where most of them do not jump at all, it is the pooled
    standard deviation of the usable scores within rounds. True differences between candidates
    are part of that, so it is too large rather than too small.
    """
    jumps = sorted(abs(jump) for jump in _jumps(run))
    if len(jumps) >= LEAST_CURVES:
        value = statistics.median(jumps) / (_MEDIAN_TO_SD * math.sqrt(6))
        if value > 0:
            return Noise(value, f"the jumps of {len(jumps)} validation curves")
    return _spread_of_rivals(run)


def _jumps(run: Run) -> Iterator[float]:
    """Second differences at the ends of the curves, each training once, in points of score."""
    seen = set()
    for evaluation in run.ledger.evaluations.values():
        identity = (evaluation.seed, evaluation.candidate.topology.key)
        curve = evaluation.measurement.curve[-3:]
        if evaluation.complete and len(curve) == 3 and identity not in seen:
            seen.add(identity)
            before, middle, last = map(run.objective.quality, curve)
            jump = last - 2 * middle + before
            if math.isfinite(jump):
                yield jump


def _spread_of_rivals(run: Run) -> Noise:
    views = [view for search in run.searches for view in round_views(run, search.number)]
    rounds = [(len(view.scores) - 1, view.spread) for view in views if view.spread is not None]
    freedom = sum(count for count, _ in rounds)
    value = math.sqrt(sum(n * s * s for n, s in rounds) / freedom) if rounds else 0.0
    if not value:
        return Noise(None, "no two results that differ")
    return Noise(value, f"the spread of rivals in {len(rounds)} rounds")
