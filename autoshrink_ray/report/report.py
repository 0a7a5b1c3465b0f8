"""One run as an HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoshrink_ray import __version__, files
from autoshrink_ray.analysis import Noise, RoundView, noise, round_views
from autoshrink_ray.drawing import cell_picture
from autoshrink_ray.report import curves, facts
from autoshrink_ray.report.charts import Dot, Line, scatter, score_chart
from autoshrink_ray.report.film import Shot, film
from autoshrink_ray.report.heat import STEPS, HeatMap, heat_map
from autoshrink_ray.report.numbers import points
from autoshrink_ray.report.page import page
from autoshrink_ray.report.rounds import RoundRow, columns, line_columns, round_rows
from autoshrink_ray.results import Run, SearchResult

MOST_EDGES = 1_800
"""Edges of complete cells that all pictures of films together may have: about 1 MB of pictures,
since cells of a film have half as many on average."""

MOST_LINES = 2_500
"""Candidates that a report lists in all, about 400 bytes each."""

MOST_CELLS = 4_000
"""Candidates that all heat maps of edges together show, about 140 bytes each."""

MOST_CURVES = 16
"""Searches whose scores the chart shows."""

_LEAST_SHOTS = 6
"""A film with fewer pictures is left out."""


@dataclass(frozen=True)
class Command:
    """A line to type.

    Attributes:
        purpose: What it does.
        line: The line.
    """

    purpose: str
    line: str


@dataclass(frozen=True)
class SearchPart:
    """One search in a report.

    Attributes:
        number: Its number.
        summary: Its seed, its status and its best score in words.
        best: Whether it found the run's best cell.
        film: Cells that it went through.
        cut: Cells that the film leaves out.
        heat: What each edge was worth; None where nothing is known of it, or there is no room.
        rounds: Its rounds.
    """

    number: int
    summary: str
    best: bool
    film: tuple[Shot, ...]
    cut: int
    heat: HeatMap | None
    rounds: tuple[RoundRow, ...]


@dataclass(frozen=True)
class Room:
    """What a page can still bear.

    Attributes:
        shots: Pictures of films.
        cells: Candidates in heat maps.
        lines: Candidates in tables.
    """

    shots: int
    cells: int
    lines: int

    def after(self, part: SearchPart) -> Room:
        """What is left when it has a search."""
        return Room(
            self.shots - len(part.film),
            self.cells - (part.heat.cells if part.heat else 0),
            self.lines - sum(len(row.lines) for row in part.rounds),
        )


@dataclass(frozen=True)
class Raw:
    """A file of the run.

    Attributes:
        name: Below the run's folder.
        what: What is in it.
        link: Where a browser finds it; empty if it cannot know.
    """

    name: str
    what: str
    link: str


def report(run: Run, commands: Sequence[Command] = (), base: str | None = "") -> str:
    """A run as one HTML file, which needs no other file and no network.

    Args:
        run: The run; it may be going on, killed, or without a decision.
        commands: How its answer is used further.
        base: What stands before names of the run's files in links; None for no links.

    Raises:
        FileFormatError: If the run is damaged.
        ConfigError: If its configuration is none.
    """
    views = {search.number: round_views(run, search.number) for search in run.searches}
    shown = noise(run)
    dots, lines = curves.front_dots(run), lines_of(run)
    return page(
        "run.html.j2",
        title=f"{run.name}: report of a search",
        version=__version__,
        run=run,
        status=facts.STATUS[run.status],
        algorithm=facts.algorithm(run),
        lede=facts.lede(run),
        warnings=facts.warnings(run),
        answer=facts.answer_facts(run),
        picture=_picture(run),
        commands=commands if run.best else (),
        curve=_curve(run, views, lines),
        lines=lines,
        search_heading="The shrinking" if run.shrinks else "The search",
        curve_note=_curve_note(run),
        steps=STEPS,
        pareto=_pareto(run, dots),
        front=_front(dots),
        costs=facts.cost_facts(run),
        searches=_searches(run, views, shown),
        columns=columns(run),
        line_columns=line_columns(run),
        noise_note=_noise_note(shown),
        provenance=facts.provenance(run, shown),
        settings=facts.settings(run),
        raw=_raw(run, base),
    )


def _picture(run: Run) -> str:
    return "" if run.best is None else cell_picture(run.best.topology).svg()


def _curve(run: Run, views: dict[int, list[RoundView]], lines: Sequence[Line]) -> str:
    """The searches' scores: by round, or where there are no rounds to speak of, by candidate."""
    alone = run.searches[0].number if len(run.searches) == 1 else None
    if not lines:
        return ""
    if not run.shrinks:
        dots = [] if alone is None else curves.in_draw(run, alone)
        return score_chart("Best score so far, by candidate", lines, dots, across="candidate")
    dots = [] if alone is None else curves.rivals(views[alone])
    return score_chart("Score of each round's winner, by round", lines, dots)


def _curve_note(run: Run) -> str:
    alone = len(run.searches) == 1
    if not run.shrinks:
        return "Best score so far against candidates in the order of their draw." + (
            " Grey: the score of each candidate." if alone else ""
        )
    what = "Score of each round's winner; the large point is a search's best cell."
    if alone:
        return f"{what} Grey: the candidates that did not win."
    shown = len(run.searches) > MOST_CURVES
    return f"{what} Shown: the {MOST_CURVES} best searches." if shown else what


def _noise_note(shown: Noise) -> str:
    if shown.value is None:
        return f"The run does not tell how noisy its scores are: {shown.source}."
    return (
        f"Scores are noisy by about {points(shown.value)} (one standard deviation, from "
        f"{shown.source}). A winner that leads by less may have won by chance."
    )


def lines_of(run: Run) -> list[Line]:
    """A line for each of the best searches, that of the very best one strong and last."""
    found = [line for line in map(_search_line, run.searches) if line.dots]
    best = sorted(found, key=lambda line: max(dot.y for dot in line.dots))[-MOST_CURVES:]
    if len(best) < 2:
        return best
    return [*sorted(best[:-1], key=lambda line: line.place), replace(best[-1], strong=True)]


def _search_line(search: SearchResult) -> Line:
    name = f"search {search.number}"
    if search.run.shrinks:
        return curves.rounds_line(search, name, search.number)
    return curves.best_so_far(search.run, search.number, name, search.number)


def _pareto(run: Run, dots: Sequence[Dot]) -> str:
    name = run.objective.quality_metric
    return (
        scatter(
            f"{name} against MACs of all measured cells", dots, upwards=curves.quality_axis(run)
        )
        if dots
        else ""
    )


def _front(dots: Sequence[Dot]) -> list[str]:
    """The front in words, the fewest MACs first."""
    return [dot.tip for dot in sorted(dots, key=lambda dot: (dot.x, dot.y)) if dot.mark]


def _searches(run: Run, views: dict[int, list[RoundView]], shown: Noise) -> list[SearchPart]:
    """The best search first: it has the first claim to pictures and lines."""
    best = run.best.search if run.best else 0
    order = sorted(run.searches, key=lambda search: (search.number != best, search.number))
    parts: list[SearchPart] = []
    room = Room(MOST_EDGES // facts.complete_edges(run), MOST_CELLS, MOST_LINES)
    for search in order:
        part = _search(search, views[search.number], shown, room)
        room = room.after(part)
        parts.append(part)
    return parts


def _search(
    search: SearchResult, views: Sequence[RoundView], shown: Noise, room: Room
) -> SearchPart:
    run, best = search.run, search.run.best
    taken = film(search, views, room.shots) if room.shots >= _LEAST_SHOTS else []
    heat = heat_map(search, views) if room.cells > 0 else None
    decided = sum(view.decision is not None and view.parent is not None for view in views)
    return SearchPart(
        number=search.number,
        summary=facts.search_words(search),
        best=best is not None and best.search == search.number,
        film=tuple(taken),
        cut=max(0, decided + bool(decided) - len(taken)),
        heat=heat,
        rounds=tuple(round_rows(run, views, shown, room.lines)),
    )


def _raw(run: Run, base: str | None) -> list[Raw]:
    """The files that are there."""
    what = {
        files.BEST_CELL: "the best cell, for derive, train and draw",
        files.EVALUATIONS: "all evaluations as one table, for pandas, polars or DuckDB",
        files.RUN: "configuration, identity and versions",
    }
    there = [
        Raw(name, meaning, "" if base is None else base + name)
        for name, meaning in what.items()
        if run.folder.exists(name)
    ]
    ledger = f"{files.LEDGER}/"
    link = "" if base is None else base + ledger
    return [*there, Raw(ledger, "every evaluation and decision as it happened", link)]
