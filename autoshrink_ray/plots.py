"""Figures of a run: matplotlib's objects, without pyplot and its state.

Colours are Okabe and Ito's, and maps whose ends differ in lightness, so colour-blind readers tell
them apart. A run without results gives a figure that says so.
"""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from autoshrink_ray.analysis.edges import EdgeImportance, edge_importance
from autoshrink_ray.analysis.front import ParetoPoint, pareto
from autoshrink_ray.analysis.rounds import CandidateLine, RoundView, round_view, round_views
from autoshrink_ray.analysis.words import name
from autoshrink_ray.results import Run
from autoshrink_ray.wording import edge

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY, PALE = "#8C8C8C", "#E4E4E4"
_CYCLE = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", RED)


class RunFigure(Figure):
    """A figure that notebooks show without any set-up."""

    def _repr_png_(self) -> bytes:
        return to_png(self)


def to_svg(figure: Figure) -> str:
    """A figure as an SVG element; figures drawn alike give the same text."""
    sink = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "autoshrink-ray"}):
        figure.savefig(sink, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return "<svg" + sink.getvalue().partition("<svg")[2]


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """A figure as a PNG file's content.

    Args:
        figure: The figure.
        dpi: Pixels an inch.
    """
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=dpi, bbox_inches="tight")
    return sink.getvalue()


def score_figure(run: Run) -> Figure:
    """Best and mean score of each closed round, and below them the winners' MACs."""
    figure = _figure(7.0, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for search in run.searches:
        views = [v for v in round_views(run, search.number) if v.decision and v.scores]
        _score_lines(upper, lower, views, search.number, many=len(run.searches) > 1)
    if not upper.has_data():
        return _empty(figure)
    upper.set_ylabel("score")
    upper.legend(fontsize="small", frameon=False)
    lower.set_ylabel("MACs")
    lower.set_ylim(bottom=0)
    lower.set_xlabel("round")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    first, last = lower.get_xlim()
    lower.set_xlim(min(first, 0.5), max(last, 1.5))
    lower.yaxis.set_major_formatter(EngFormatter())
    for axes in (upper, lower):
        _plain(axes)
    return figure


def _score_lines(
    upper: Axes, lower: Axes, views: Sequence[RoundView], search: int, *, many: bool
) -> None:
    if not views:
        return
    colour = _CYCLE[search % len(_CYCLE)]
    which = f"search {search}: " if many else ""
    rounds = [view.number for view in views]
    best = [view.scores[0] for view in views]
    mean = [statistics.fmean(view.scores) for view in views]
    macs = [view.decision.metrics.get("macs", math.nan) for view in views if view.decision]
    upper.plot(rounds, best, "o-", color=colour, ms=4, label=f"{which}best")
    upper.plot(rounds, mean, ".--", color=colour, alpha=0.7, label=f"{which}mean of the round")
    lower.plot(rounds, macs, "o-", color=colour, ms=4)
    top = max(range(len(best)), key=best.__getitem__)
    upper.plot(rounds[top], best[top], "*", color=colour, ms=14, mec="black", mew=0.6)


def pareto_figure(run: Run) -> Figure:
    """Quality against MACs of all measured cells, better ones higher up, the front highlighted."""
    figure = _figure(7.0, 4.5)
    points = [p for p in pareto(run) if math.isfinite(p.macs) and math.isfinite(p.quality)]
    if not points:
        return _empty(figure)
    axes = figure.subplots()
    front = sorted((p for p in points if p.on_front), key=lambda p: p.macs)
    others = [p for p in points if not p.on_front]
    axes.scatter(*_places(others), s=22, color=GREY, alpha=0.6, lw=0, label="measured")
    _mark_best(axes, run)
    axes.step(*_places(front), "o-", where="post", color=BLUE, ms=6, mec="white", label="front")
    metric = run.objective.quality_metric
    if _less_is_better(run):
        axes.invert_yaxis()
        axes.set_ylabel(f"{metric} (less is better, axis turned)")
    else:
        axes.set_ylabel(metric)
    axes.set_xlabel("MACs of the proxy network")
    if max(p.macs for p in points) > 20 * min(p.macs for p in points) > 0:
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_formatter(EngFormatter())
    axes.legend(fontsize="small", frameon=False)
    _plain(axes)
    return figure


def _places(points: Sequence[ParetoPoint]) -> tuple[list[float], list[float]]:
    return [point.macs for point in points], [point.quality for point in points]


def _mark_best(axes: Axes, run: Run) -> None:
    metrics = run.best.metrics if run.best else {}
    metric = run.objective.quality_metric
    if metric in metrics and "macs" in metrics:
        axes.plot(
            metrics["macs"],
            metrics[metric],
            "*",
            color=ORANGE,
            ms=19,
            mec="black",
            mew=0.6,
            label="best score",
        )


def _less_is_better(run: Run) -> bool:
    return run.objective.quality(1.0) < run.objective.quality(0.0)


def edge_figure(run: Run, search: int = 0) -> Figure:
    """What each edge was worth in each round, as a heat map; a cross where it was removed.

    Raises:
        ConfigError: If the run has no such search.
    """
    found = edge_importance(run, search)
    values = np.array(found.values, dtype=float).reshape(len(found.rounds), len(found.edges))
    if not np.isfinite(values).any():
        return _empty(_figure(6.0, 2.0), "no edge was tried")
    figure = _figure(3.0 + 0.27 * len(found.edges), 1.9 + 0.27 * len(found.rounds))
    axes = figure.subplots()
    most = float(np.nanmax(np.abs(values[np.isfinite(values)]))) or 1.0
    gone = _gone_before(found)
    axes.imshow(gone, cmap="Greys", vmin=0, vmax=4, aspect="auto")
    image = axes.imshow(values, cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
    rows, columns = np.nonzero(np.isnan(values) & np.isnan(gone))
    axes.plot(columns, rows, ".", color=GREY, ms=2)
    _crosses(axes, run, found)
    axes.set_xticks(range(len(found.edges)), [edge(e) for e in found.edges], rotation=90)
    axes.set_yticks(range(len(found.rounds)), [str(number) for number in found.rounds])
    axes.tick_params(labelsize="small", length=0)
    axes.set_xlabel("edge (cross: removed, dot: not tried, grey: gone)")
    axes.set_ylabel("round")
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("score without it, from the median")
    return figure


def _gone_before(found: EdgeImportance) -> np.ndarray:
    """1 where an edge is gone since an earlier round, else NaN, which nothing is drawn for."""
    return np.array(
        [
            [1.0 if found.gone.get(e, math.inf) < number else math.nan for e in found.edges]
            for number in found.rounds
        ]
    )


def _crosses(axes: Axes, run: Run, found: EdgeImportance) -> None:
    for decision in run.searches[found.search].rounds:
        if decision.removed in found.edges and decision.round in found.rounds:
            place = found.edges.index(decision.removed), found.rounds.index(decision.round)
            axes.plot(*place, "X", color="white", ms=9, mec="black", mew=0.8)


def round_figure(run: Run, search: int, number: int) -> Figure:
    """A round's ranked candidates: how far quality and cost take each from the round's mean.

    Raises:
        ConfigError: If the run has no such search or round.
    """
    view = round_view(run, search, number)
    lines = [line for line in view.ranked if line.score is not None]
    if not lines:
        return _empty(_figure(6.0, 2.0), "no candidate has a usable score")
    figure = _figure(7.0, 1.3 + 0.3 * len(lines))
    axes = figure.subplots()
    mean = statistics.fmean(view.scores)
    _term_bars(axes, lines)
    totals = [(line.score or 0.0) - mean for line in lines]
    axes.plot(totals, range(len(lines)), "D", color="black", ms=5, label="score")
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(lines)), [f"{name(li)}   {li.score:.4f}" for li in lines])
    axes.invert_yaxis()
    axes.set_xlabel(f"points from the round's mean score {mean:.4f}")
    axes.set_title(_round_title(view), fontsize="medium", loc="left")
    axes.legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _plain(axes)
    return figure


def _round_title(view: RoundView) -> str:
    state = "" if view.decision else ", open"
    left_out = [
        f"{len(group)} {what}"
        for group, what in ((view.failed, "failed"), (view.missing, "to come"))
        if group
    ]
    return ", ".join([f"search {view.search}, round {view.number}{state}", *left_out])


def _term_bars(axes: Axes, lines: Sequence[CandidateLine]) -> None:
    """Two bars a candidate, end to end where they point the same way."""
    known = [
        (place, line.quality_term, line.cost_term)
        for place, line in enumerate(lines)
        if line.quality_term is not None and line.cost_term is not None
    ]
    if not known:
        return
    places, quality, cost = (np.array(column, dtype=float) for column in zip(*known, strict=True))
    by_quality, by_cost = quality - quality.mean(), cost.mean() - cost
    offset = np.where(by_quality * by_cost > 0, by_quality, 0.0)
    axes.barh(places, by_quality, height=0.6, color=BLUE, label="by quality")
    axes.barh(places, by_cost, left=offset, height=0.6, color=ORANGE, label="by cost")


def _figure(width: float, height: float) -> RunFigure:
    figure = RunFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _empty(figure: RunFigure, text: str = "nothing is decided yet") -> RunFigure:
    figure.clear()
    figure.text(0.5, 0.5, text, ha="center", va="center", color=GREY)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=PALE, lw=0.6)
    axes.set_axisbelow(True)
