"""What a report says of a run's rounds: plain values, ready for a template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoshrink_ray.analysis import CandidateLine, Noise, RoundView, why
from autoshrink_ray.report.charts import strip
from autoshrink_ray.report.numbers import NONE, count, duration, metric, points, quality
from autoshrink_ray.results import Run
from autoshrink_ray.wording import edge, plural

MOST_LINES = 40
"""Candidates of a round that are listed; of a random search, too."""

MOST_STRIP = 40
"""Scores of a round that its small chart shows."""

_CLEAR = 2.0
"""A lead of so many times the noise is called clear."""


@dataclass(frozen=True)
class RoundRow:
    """One round in the table of rounds.

    Attributes:
        number: The round.
        cells: Texts of the columns after the round's number, those of `COLUMNS`.
        verdict: Class and words for what the lead is worth.
        strip: Small chart of the scores; empty without scores.
        best: Whether it gave the search's best cell.
        why: The round in a few sentences.
        lines: Its candidates.
        more: Candidates that are not listed.
    """

    number: int
    cells: tuple[str, ...]
    verdict: tuple[str, str]
    strip: str
    best: bool
    why: str
    lines: tuple[LineRow, ...]
    more: int


@dataclass(frozen=True)
class LineRow:
    """A candidate in the table of its round.

    Attributes:
        cells: Texts of the columns, those of `LINE_COLUMNS`.
        state: Class: `won`, `ranked`, `failed` or `missing`.
        note: What else there is to know.
    """

    cells: tuple[str, ...]
    state: str
    note: str


def columns(run: Run) -> tuple[str, ...]:
    """Names of the columns of `RoundRow.cells`."""
    name = run.objective.quality_metric
    first = ("edge gone",) if run.shrinks else ()
    return (*first, "tried", "edges left", "score", name, "MACs", "margin", "spread")


def line_columns(run: Run) -> tuple[str, ...]:
    """Names of the columns of `LineRow.cells`."""
    name = run.objective.quality_metric
    who = "without edge" if run.shrinks else "candidate"
    terms = ("quality term", "cost term")
    return ("rank", who, "score", "behind", *terms, name, "MACs", "params", "epochs", "time")


def round_rows(run: Run, views: Sequence[RoundView], noise: Noise, lines: int) -> list[RoundRow]:
    """The rounds of a search.

    Args:
        run: The run.
        views: The search's rounds.
        noise: The run's noise.
        lines: Candidates that may be listed in all rounds together.
    """
    scores = [score for view in views for score in view.scores]
    span = (min(scores), max(scores)) if scores else (0.0, 1.0)
    rows = []
    for view in views:
        shown = min(lines, MOST_LINES)
        rows.append(_round(run, view, noise, span, shown))
        lines -= len(rows[-1].lines)
    return rows


def _round(
    run: Run, view: RoundView, noise: Noise, span: tuple[float, float], shown: int
) -> RoundRow:
    best = run.searches[view.search].best
    return RoundRow(
        number=view.number,
        cells=_round_cells(run, view),
        verdict=_verdict(view, noise),
        strip=_strip(view, span),
        best=best is not None and best.round == view.number,
        why=why(view, noise, run.objective),
        lines=tuple(_line(run, line) for line in view.lines[:shown]),
        more=max(0, len(view.lines) - shown),
    )


def _round_cells(run: Run, view: RoundView) -> tuple[str, ...]:
    name, winner = run.objective.quality_metric, view.winner
    metrics = _metrics(view)
    cell = None if winner is None else winner.candidate.topology
    first = (_gone(view),) if run.shrinks else ()
    return (
        *first,
        _tried(view),
        NONE if cell is None else str(len(cell.edges)),
        points(winner.score if winner else None),
        quality(name, metrics.get(name)),
        metric(metrics, "macs"),
        points(view.margin),
        points(view.spread),
    )


def _gone(view: RoundView) -> str:
    if view.winner is None:
        return NONE
    name = edge(view.winner.candidate.removed) or NONE
    return name if view.decision is not None else f"{name} leads"


def _metrics(view: RoundView) -> dict[str, float]:
    if view.decision is not None:
        return view.decision.metrics
    winner = view.winner
    return winner.evaluation.measurement.metrics if winner and winner.evaluation else {}


def _tried(view: RoundView) -> str:
    parts = [count(len(view.lines))]
    if view.failed:
        parts.append(f"{count(len(view.failed))} failed")
    if view.missing:
        parts.append(f"{count(len(view.missing))} {'lost' if view.decision else 'to come'}")
    return ", ".join(parts)


def _verdict(view: RoundView, noise: Noise) -> tuple[str, str]:
    units = noise.units(view.margin)
    if view.decision is None:
        return "open", "still open"
    if units is None:
        return "none", "no rival" if view.margin is None else "noise unknown"
    if units < 1:
        return "chance", f"{units:.1f}, may be chance"
    words = "clear" if units >= _CLEAR else "likely"
    return words, f"{units:.1f}, {words}"


def _strip(view: RoundView, span: tuple[float, float]) -> str:
    scores = view.scores
    if not scores:
        return ""
    name = (
        f"Scores of round {view.number}: the winner {points(scores[0])}, "
        f"{plural(len(scores) - 1, 'rival')} down to {points(scores[-1])}"
    )
    step = -(-len(scores) // MOST_STRIP)
    return strip(name, [scores[0], *scores[1::step]], *span)


def _line(run: Run, line: CandidateLine) -> LineRow:
    measurement = line.evaluation.measurement if line.evaluation else None
    metrics = measurement.metrics if measurement else {}
    name = run.objective.quality_metric
    cells = (
        NONE if line.rank is None else str(line.rank),
        edge(line.candidate.removed) or str(line.candidate.index),
        *(points(v) for v in (line.score, line.behind, line.quality_term, line.cost_term)),
        quality(name, metrics.get(name)),
        metric(metrics, "macs"),
        metric(metrics, "params"),
        NONE if measurement is None else count(measurement.epochs),
        NONE if measurement is None else duration(measurement.seconds),
    )
    return LineRow(cells, _state(line), _note(line))


def _state(line: CandidateLine) -> str:
    if line.evaluation is None:
        return "missing"
    if line.rank is None:
        return "failed"
    return "won" if line.rank == 1 else "ranked"


def _note(line: CandidateLine) -> str:
    evaluation = line.evaluation
    if evaluation is None:
        return "its record is lost" if line.rank else "not evaluated yet"
    parts = []
    if not evaluation.complete:
        parts.append(evaluation.measurement.reason)
    elif line.rank is None:
        parts.append("no usable score")
    if evaluation.cached:
        parts.append("result taken over")
    if evaluation.attempts > 1:
        parts.append(f"{evaluation.attempts} tries")
    return "; ".join(parts)
