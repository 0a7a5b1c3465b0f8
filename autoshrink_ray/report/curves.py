"""What charts show of a run."""

from __future__ import annotations

from collections.abc import Sequence

from autoshrink_ray.analysis import RoundView, pareto
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.report.charts import Dot, Line
from autoshrink_ray.report.numbers import count, points, quality
from autoshrink_ray.results import Run, SearchResult
from autoshrink_ray.wording import edge, plural

MOST_DOTS = 2_000
"""Points of one chart; of more, those that did not win are thinned out evenly."""


def rounds_line(search: SearchResult, name: str, place: int = 0) -> Line:
    """Score of each round's winner, the best one marked."""
    best = search.best
    dots = (
        Dot(decision.round, decision.score, _round_tip(name, decision), decision == best)
        for decision in search.rounds
    )
    return Line(name, tuple(dots), place=place)


def _round_tip(name: str, decision: Decision) -> str:
    gone = f", {edge(decision.removed)} goes" if decision.removed else ""
    return f"{name}, round {decision.round}{gone}: score {points(decision.score)}"


def rivals(views: Sequence[RoundView]) -> list[Dot]:
    """The scores of the candidates that did not win."""
    lines = [(view, line) for view in views for line in view.ranked[1:]]
    found = [
        Dot(
            view.number,
            line.score,
            f"{_who(line.candidate.removed, line.candidate.index)}: score {points(line.score)}",
        )
        for view, line in lines
        if line.score is not None
    ]
    return thinned(found)


def _who(removed: tuple[int, int] | None, index: int) -> str:
    return f"without {edge(removed)}" if removed else f"candidate {index}"


def best_so_far(run: Run, search: int, name: str, place: int = 0) -> Line:
    """The best score against the number of candidates, in the order of their draw."""
    dots: list[Dot] = []
    total = 0
    for evaluation in run.ledger.evaluations.values():
        if evaluation.candidate.search == search:
            total += 1
            score = _score(run, evaluation)
            if score is not None and (not dots or score > dots[-1].y):
                tip = f"{name}, candidate {count(total)}: best score {points(score)}"
                dots.append(Dot(total, score, tip))
    if dots and total > dots[-1].x:
        dots.append(Dot(total, dots[-1].y, ""))
    return Line(name, tuple(dots), steps=True, place=place)


def _score(run: Run, evaluation: Evaluation) -> float | None:
    score = run.objective.score(evaluation.measurement.metrics)
    return score if evaluation.complete and score == score else None


def in_draw(run: Run, search: int) -> list[Dot]:
    """Scores of a search's candidates in the order of their draw."""
    own = (e for e in run.ledger.evaluations.values() if e.candidate.search == search)
    found = [
        Dot(number, score, f"candidate {e.candidate.index}: score {points(score)}")
        for number, e in enumerate(own, start=1)
        if (score := _score(run, e)) is not None
    ]
    return thinned(found)


def front_dots(run: Run) -> list[Dot]:
    """All measured cells, those on the Pareto front marked."""
    name = run.objective.quality_metric
    several = len(run.searches) > 1
    found = []
    for point in pareto(run):
        where = f"search {point.search}, round {point.round}" if several else f"round {point.round}"
        tip = (
            f"{name} {quality(name, point.quality)}, {count(point.macs)} MACs, "
            f"{plural(point.edges, 'edge')}, {where}"
        )
        found.append(Dot(point.macs, point.quality, tip, point.on_front))
    return thinned(found)


def quality_axis(run: Run) -> str:
    """Name of an axis of quality, with its direction where less is better."""
    rule = run.objective
    return rule.quality_metric + ("" if rule.quality(2) > rule.quality(1) else ", less is better")


def front_line(run: Run, name: str, place: int) -> Line:
    """A run's Pareto front, the fewest MACs first."""
    front = sorted((dot for dot in front_dots(run) if dot.mark), key=lambda dot: (dot.x, dot.y))
    dots = (Dot(dot.x, dot.y, f"{name}: {dot.tip}") for dot in front)
    return Line(name, tuple(dots), steps=True, place=place)


def thinned(dots: list[Dot]) -> list[Dot]:
    """All marked points, and of the others so many that a chart can show them."""
    others = [dot for dot in dots if not dot.mark]
    step = -(-len(others) // MOST_DOTS)
    return [dot for dot in dots if dot.mark] + others[:: max(1, step)]
