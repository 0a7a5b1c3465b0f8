"""A round taken apart: its candidates in the order in which the policy ranks them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from autoshrink_ray.analysis.drawn import drawn, parent_of
from autoshrink_ray.counting import Place
from autoshrink_ray.errors import ConfigError, choices
from autoshrink_ray.policies.base import rank
from autoshrink_ray.records import Candidate, Decision, Evaluation, Metrics
from autoshrink_ray.results import Run
from autoshrink_ray.topology import Topology


@dataclass(frozen=True)
class CandidateLine:
    """One candidate of a round, beside the others.

    Attributes:
        candidate: What was to be tried.
        evaluation: What came out; None where it is not evaluated yet, or its record is lost.
        rank: Place in the policy's ranking, from 1; None where it is not ranked.
        score: Quality term minus cost term; None where it is not ranked.
        quality_term: Points for quality; None where its measurement is not known.
        cost_term: Points taken away for cost; None where its measurement is not known.
        behind: The winner's score minus this one, so 0 for the winner; None without a score.
    """

    candidate: Candidate
    evaluation: Evaluation | None
    rank: int | None
    score: float | None
    quality_term: float | None
    cost_term: float | None
    behind: float | None


@dataclass(frozen=True)
class RoundView:
    """One round of a search.

    Attributes:
        search: The search's number in its run.
        number: The round, from 1.
        decision: How it ended; None while it is open.
        parent: Cell that the candidates come from; None where they have none.
        lines: Ranked candidates best first, then failed ones, then those without an evaluation.
    """

    search: int
    number: int
    decision: Decision | None
    parent: Topology | None
    lines: tuple[CandidateLine, ...]

    @property
    def ranked(self) -> tuple[CandidateLine, ...]:
        """The candidates with a score, best first."""
        return tuple(line for line in self.lines if line.rank is not None)

    @property
    def winner(self) -> CandidateLine | None:
        """The best candidate; of an open round the best so far."""
        return self.ranked[0] if self.ranked else None

    @property
    def runner_up(self) -> CandidateLine | None:
        """The second best candidate."""
        return self.ranked[1] if len(self.ranked) > 1 else None

    @property
    def scores(self) -> tuple[float, ...]:
        """Usable scores, best first."""
        return tuple(line.score for line in self.lines if line.score is not None)

    @property
    def margin(self) -> float | None:
        """The winner's score minus the runner-up's; None with fewer than two scores."""
        return self.scores[0] - self.scores[1] if len(self.scores) > 1 else None

    @property
    def spread(self) -> float | None:
        """Sample standard deviation of the usable scores; None with fewer than two."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None

    @property
    def seconds(self) -> float | None:
        """From the first hand-out to the last end of a training; None where nothing was trained.

        What lies between two attempts of the driver counts, too.
        """
        trained = [e for e in self.evaluations if not e.cached]
        if not trained:
            return None
        return max(0.0, max(e.ended for e in trained) - min(e.queued for e in trained))

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """What is evaluated, in the order of the lines."""
        return tuple(line.evaluation for line in self.lines if line.evaluation is not None)

    @property
    def failed(self) -> tuple[CandidateLine, ...]:
        """Evaluated candidates without a usable score."""
        return tuple(li for li in self.lines if li.rank is None and li.evaluation is not None)

    @property
    def missing(self) -> tuple[CandidateLine, ...]:
        """Candidates without an evaluation."""
        return tuple(line for line in self.lines if line.evaluation is None)


def round_views(run: Run, search: int) -> list[RoundView]:
    """All rounds of a search that have begun, oldest first; the last one may be open.

    Raises:
        ConfigError: If the run has no such search.
    """
    return [_view(run, search, number) for number in _numbers(run, search)]


def round_view(run: Run, search: int, number: int) -> RoundView:
    """One round of a search.

    Raises:
        ConfigError: If the run has no such search, or no such round.
    """
    numbers = _numbers(run, search)
    if number not in numbers:
        there = f"choose one of {choices(numbers)}" if numbers else "none has begun"
        raise ConfigError(f"search {search} of run {run.name!r} has no round {number}; {there}")
    return _view(run, search, number)


def _numbers(run: Run, search: int) -> list[int]:
    """Rounds with a decision or an evaluation, and the one that is next if its draw is known."""
    result = run.search(search)
    places = [*run.ledger.decisions, *(key[:2] for key in run.ledger.evaluations)]
    begun = {number for owner, number in places if owner == search}
    closed = [decision.round for decision in result.rounds]
    after = max(closed, default=0) + 1
    if result.status == "open" and drawn(run, search, after):
        begun.add(after)
    return sorted(begun)


def _view(run: Run, search: int, number: int) -> RoundView:
    return RoundView(
        search=search,
        number=number,
        decision=run.ledger.decisions.get((search, number)),
        parent=parent_of(run, search, number),
        lines=tuple(_lines(run, search, number)),
    )


def _lines(run: Run, search: int, number: int) -> Iterator[CandidateLine]:
    candidates = drawn(run, search, number)
    evaluations = {
        key[2]: e for key, e in run.ledger.evaluations.items() if key[:2] == (search, number)
    }
    ranking = _ranking(run, search, number)
    order = [index for index in ranking if index in candidates]
    rest = sorted(set(candidates) - set(order), key=lambda i: (i not in evaluations, i))
    best = next(iter(ranking.values()), math.nan)
    ranks = {index: nth for nth, index in enumerate(ranking, start=1)}
    for index in [*order, *rest]:
        score = ranking.get(index)
        quality, cost = _terms(run, (search, number, index))
        yield CandidateLine(
            candidate=candidates[index],
            evaluation=evaluations.get(index),
            rank=ranks.get(index),
            score=score,
            quality_term=quality,
            cost_term=cost,
            behind=None if score is None else best - score,
        )


def _ranking(run: Run, search: int, number: int) -> dict[int, float]:
    """Score of each ranked candidate, best first: a decision stands, whatever was lost since."""
    decision = run.ledger.decisions.get((search, number))
    if decision is not None:
        return {li.index: li.score for li in decision.ranking if math.isfinite(li.score)}
    evaluations = run.ledger.evaluations.items()
    return dict(rank((e for key, e in evaluations if key[:2] == (search, number)), run.objective))


def _terms(run: Run, place: Place) -> tuple[float | None, float | None]:
    metrics = _metrics(run, place)
    if not math.isfinite(run.objective.score(metrics)):
        return None, None
    return run.objective.quality_term(metrics), run.objective.cost_term(metrics)


def _metrics(run: Run, place: Place) -> Metrics:
    """The metrics that the ranking rests on; none where they are lost."""
    decision = run.ledger.decisions.get(place[:2])
    if decision is not None and decision.winner == place[2]:
        return decision.metrics
    evaluation = run.ledger.evaluations.get(place)
    known = evaluation is not None and place not in run.ledger.remade
    return evaluation.measurement.metrics if known and evaluation is not None else {}
