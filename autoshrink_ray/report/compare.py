"""Several runs side by side as an HTML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from autoshrink_ray import __version__
from autoshrink_ray.analysis import noise
from autoshrink_ray.drawing import cell_picture
from autoshrink_ray.report import curves, facts
from autoshrink_ray.report.charts import Line, front_chart, score_chart
from autoshrink_ray.report.numbers import NONE, count, metric, points, quality
from autoshrink_ray.report.page import page
from autoshrink_ray.results import Run
from autoshrink_ray.wording import plural

COLUMNS = ("run", "status", "score", "quality", "MACs", "params", "edges", "candidates", "noise")
"""Columns of the table of answers."""


@dataclass(frozen=True)
class Named:
    """A run, and what the comparison calls it.

    Attributes:
        run: The run.
        name: Its name; its folder where another run has the same name.
        place: Its number, which gives its colour.
    """

    run: Run
    name: str
    place: int


@dataclass(frozen=True)
class Group:
    """Runs whose scores are computed by one rule, and so can share a chart.

    Attributes:
        rule: The rule.
        lines: A line for each run, for the legend.
        rounds: Chart of scores by round; empty where no run has rounds.
        candidates: Chart of the best score so far by candidate; empty without results.
        fronts: Chart of Pareto fronts; empty without results.
        note: Why scores may still not be comparable.
    """

    rule: str
    lines: tuple[Line, ...]
    rounds: str
    candidates: str
    fronts: str
    note: str


def comparison(runs: Sequence[Run]) -> str:
    """Several runs as one HTML file, which needs no other file and no network.

    Args:
        runs: At least two; they may be going on, killed, or without a decision.

    Raises:
        FileFormatError: If one is damaged.
        ConfigError: If the configuration of one is none.
    """
    named = _named(runs)
    return page(
        "compare.html.j2",
        title=f"Comparison of {plural(len(runs), 'run')}",
        version=__version__,
        runs=named,
        warnings=[f"{one.name}: {text}" for one in named for text in facts.warnings(one.run)],
        columns=COLUMNS,
        answers=[_answer(one) for one in named],
        cells=[(one.name, _picture(one.run)) for one in named if one.run.best],
        groups=[_group(rule, members) for rule, members in _by_rule(named).items()],
        costs=_costs(named),
        differences=_differences(named),
    )


def _named(runs: Sequence[Run]) -> list[Named]:
    names = Counter(run.name for run in runs)
    return [
        Named(run, run.name if names[run.name] == 1 else run.folder.location, place)
        for place, run in enumerate(runs)
    ]


def _answer(one: Named) -> tuple[str, ...]:
    run, best = one.run, one.run.best
    rest = (count(len(run.ledger.evaluations)), points(noise(run).value))
    first = (one.name, run.status)
    if best is None:
        return (*first, *[NONE] * (len(COLUMNS) - len(first) - len(rest)), *rest)
    name = run.objective.quality_metric
    return (
        *first,
        points(best.score),
        f"{name} {quality(name, best.metrics.get(name))}",
        metric(best.metrics, "macs"),
        metric(best.metrics, "params"),
        count(len(best.topology.edges)),
        *rest,
    )


def _picture(run: Run) -> str:
    return cell_picture(run.best.topology).svg() if run.best else ""


def _by_rule(named: Sequence[Named]) -> dict[str, list[Named]]:
    found: dict[str, list[Named]] = {}
    for one in named:
        found.setdefault(facts.score_rule(one.run), []).append(one)
    return found


def _group(rule: str, members: Sequence[Named]) -> Group:
    metric_name = members[0].run.objective.quality_metric
    rounds = _lines(members, _by_round)
    candidates = _lines(members, lambda o: curves.best_so_far(o.run, _search(o), o.name, o.place))
    fronts = _lines(members, lambda one: curves.front_line(one.run, one.name, one.place))
    across = "candidate of the search"
    title = f"Pareto fronts of {metric_name} and MACs"
    return Group(
        rule=rule,
        lines=tuple(Line(one.name, (), place=one.place) for one in members),
        rounds=score_chart("Score of each round's winner", rounds) if rounds else "",
        candidates=score_chart("Best score so far", candidates, across=across)
        if candidates
        else "",
        fronts=front_chart(title, fronts, upwards=curves.quality_axis(members[0].run))
        if fronts
        else "",
        note=_note(members),
    )


def _lines(members: Sequence[Named], line: Callable[[Named], Line | None]) -> list[Line]:
    found = (line(one) for one in members)
    return [one for one in found if one is not None and one.dots]


def _by_round(one: Named) -> Line | None:
    if not one.run.shrinks:
        return None
    return curves.rounds_line(one.run.searches[_search(one)], one.name, one.place)


def _search(one: Named) -> int:
    """The search with the run's best cell."""
    return one.run.best.search if one.run.best else 0


_SCORED_WITH = {
    "data_fingerprint": "data",
    "proxy": "settings of the proxy training",
    "macro": "settings of the network around the cell",
}
"""Parts of an identity that decide what a cell scores, and what people call them."""


def _note(members: Sequence[Named]) -> str:
    others = [
        name
        for key, name in _SCORED_WITH.items()
        if len({str(one.run.file.identity.get(key)) for one in members}) > 1
    ]
    return (
        f"Not the same for these runs: {', '.join(others)}. Scores may differ for that alone."
        if others
        else ""
    )


def _costs(named: Sequence[Named]) -> list[tuple[str, ...]]:
    """A row for each fact that any run has, its name first."""
    accounts = [{fact.name: fact.value for fact in facts.cost_facts(one.run)} for one in named]
    names = dict.fromkeys(name for account in accounts for name in account)
    return [(name, *(account.get(name, NONE) for account in accounts)) for name in names]


def _differences(named: Sequence[Named]) -> list[tuple[str, ...]]:
    """What is not the same in all runs, one row a setting, its name first."""
    told = [dict(_told(one.run)) for one in named]
    names = dict.fromkeys(name for one in told for name in one)
    rows = [(name, *(one.get(name, NONE) for one in told)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


_OWN = {"name", "storage"}
"""Settings that say which run it is, and nothing of it."""


def _told(run: Run) -> Iterator[tuple[str, str]]:
    identity = run.file.identity
    settings = facts.settings(run)
    yield from ((key, value) for key, value in settings.items() if key not in _OWN)
    for key in ("objective", "cost_weight", "nodes", "keep_fraction", "data_fingerprint"):
        yield key, facts.plain(identity.get(key))
    yield "data summary", run.file.data_summary
    yield "machines", "; ".join(run.machines) or NONE
    yield from run.file.versions.items()
