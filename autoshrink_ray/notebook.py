"""How a run looks in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import pandas as pd

from autoshrink_ray.analysis.front import pareto
from autoshrink_ray.errors import AutoshrinkError
from autoshrink_ray.results import Run, SearchResult
from autoshrink_ray.wording import edge, metrics_text


def front_frame(run: Run) -> pd.DataFrame:
    """The Pareto front, the fewest MACs first, one row a cell."""
    front = sorted((point for point in pareto(run) if point.on_front), key=lambda p: p.macs)
    rows = [(p.search, p.round, p.index, p.edges, int(p.macs), p.quality, p.score) for p in front]
    metric = run.objective.quality_metric
    names = ["search", "round", "index", "edges", "macs", metric, "score"]
    return pd.DataFrame(rows, columns=names)


def run_html(run: Run) -> str:
    """A small table of a run; of one that cannot be read, what is wrong with it."""
    try:
        return _table(_summary(run)) + "".join(_rounds(run, search) for search in run.searches)
    except AutoshrinkError as error:
        name = run.folder.path.rpartition("/")[2]
        return _table([("run", name), ("status", "damaged"), ("reason", str(error))])


def _summary(run: Run) -> list[tuple[str, str]]:
    evaluations = run.ledger.evaluations.values()
    failed = sum(not e.complete for e in evaluations)
    best = run.best
    where = (
        f"search {best.search}, round {best.round}: {metrics_text(best)}" if best else "none yet"
    )
    rows = [
        ("run", run.name),
        ("space", run.space),
        ("status", run.status + (f": {run.message}" if run.message else "")),
        ("evaluations", f"{len(evaluations)}, {failed} of them failed"),
        ("rounds", ", ".join(str(len(search.rounds)) for search in run.searches)),
        ("best", where),
    ]
    return rows + [("damaged", f"{d.name}: {d.reason}") for d in run.ledger.damaged]


def _rounds(run: Run, search: SearchResult) -> str:
    head = ("round", "edge gone", "edges", "score", run.objective.quality_metric, "MACs")
    rows = [
        (
            str(decision.round),
            edge(decision.removed) or "-",
            str(len(decision.topology.edges)),
            f"{decision.score:.4f}",
            _number(decision.metrics.get(run.objective.quality_metric), ".4f"),
            _number(decision.metrics.get("macs"), ",.0f"),
        )
        for decision in search.rounds
    ]
    title = escape(f"search {search.number}, seed {search.seed}, {search.status}")
    content = _row(head, "th") + "".join(_row(row, "td") for row in rows)
    return f"<details><summary>{title}</summary><table>{content}</table></details>"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    content = "".join(
        f"<tr><th>{escape(key)}</th><td>{escape(text)}</td></tr>" for key, text in rows
    )
    return f"<table>{content}</table>"


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
