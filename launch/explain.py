"""Why each edge went: the rounds of a run, and the candidates of one."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoshrink_ray.analysis import (
    CandidateLine,
    CostAccount,
    Noise,
    RoundView,
    cost_account,
    noise,
    round_view,
    round_views,
    why,
)
from autoshrink_ray.analysis.words import name
from autoshrink_ray.config import DEFAULT_STORAGE
from autoshrink_ray.results import Run
from autoshrink_ray.wording import edge
from launch.inspect import RunArgument, Storage

_DETAIL = (
    "rank",
    "edge",
    "score",
    "quality",
    "cost",
    "behind",
    "noise",
    "s",
)


def explain(
    run: RunArgument,
    number: Annotated[
        int | None, typer.Option("--round", help="One round, candidate by candidate.")
    ] = None,
    search: Annotated[
        int | None, typer.Option(help="One search; else all, and search 0 with --round.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say why each edge went: margins, noise, and the scores of a round taken apart."""
    found = Run(run, storage)
    shown = noise(found)
    for damage in found.ledger.damaged:
        typer.echo(f"damaged: {damage.name}: {damage.reason}", err=True)
    if number is not None:
        view = round_view(found, search or 0, number)
        if as_json:
            _print_json(_round_dict(view, shown) | {"why": why(view, shown, found.objective)})
        else:
            _print_round(Console(), found, view, shown)
        return
    wanted = range(len(found.searches)) if search is None else [search]
    views = {one: round_views(found, one) for one in wanted}
    account = cost_account(found)
    if as_json:
        _print_json(_run_dict(found, views, shown, account))
    else:
        _print_run(Console(), found, views, shown, account)


def _print_run(
    console: Console,
    run: Run,
    views: dict[int, list[RoundView]],
    shown: Noise,
    account: CostAccount,
) -> None:
    for search, rounds in views.items():
        console.print(_rounds_table(run, search, rounds, shown))
    for line in (_noise_line(shown), *_cost_lines(account)):
        console.print(line, highlight=False, markup=False)
    if any(views.values()):
        console.print(
            f"One round in full: autoshrink-ray explain {run.folder.location} --round 1",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _rounds_table(run: Run, search: int, views: list[RoundView], shown: Noise) -> Table:
    state = run.searches[search].status
    table = Table(title=f"{escape(run.name)}: search {search}, {state}")
    for head in (
        "round",
        "edge gone",
        "ranked",
        "score",
        "margin",
        "in noise",
        "spread",
        "seconds",
    ):
        table.add_column(head, justify="right")
    for view in views:
        winner, closed = view.winner, view.decision is not None
        table.add_row(
            str(view.number) if closed else f"{view.number}, open",
            (edge(winner.candidate.removed) or "-") if winner and closed else "-",
            f"{len(view.ranked)} of {len(view.lines)}",
            _points(winner.score if winner else None),
            _points(view.margin),
            _units(shown.units(view.margin)),
            _points(view.spread),
            _seconds(view.seconds),
        )
    return table


def _noise_line(shown: Noise) -> str:
    if shown.value is None:
        return f"Noise: not known ({shown.source})"
    return f"Noise: {shown.value:.4f} points, from {shown.source}"


def _cost_lines(account: CostAccount) -> list[str]:
    return [
        f"Cost: {account.trials} trials for {account.evaluations} evaluations "
        f"({account.copies} copied, {account.cache_hits} from the cache, {account.failed} failed, "
        f"{account.lost} trials lost)",
        f"Time: {account.device_hours:.3g} {account.device}-hours of training in "
        f"{account.wall_seconds:.1f} s; {account.queueing_seconds:.1f} s of waiting for a worker, "
        f"{account.barrier_seconds:.1f} s of idle workers at the ends of rounds, "
        f"{account.failed_seconds:.1f} s in failed trainings, "
        f"{account.lost_seconds:.1f} s in lost trials",
    ]


def _print_round(console: Console, run: Run, view: RoundView, shown: Noise) -> None:
    console.print(_candidates_table(run, view, shown))
    console.print(why(view, shown, run.objective), highlight=False, markup=False)
    console.print(
        f"Spread of the scores: {_points(view.spread)}. {_noise_line(shown)}.",
        highlight=False,
        markup=False,
    )
    for line in view.failed:
        console.print(f"{name(line)} failed: {_reason(line)}", highlight=False, markup=False)


def _candidates_table(run: Run, view: RoundView, shown: Noise) -> Table:
    state = "" if view.decision else ", open"
    table = Table(
        title=f"{escape(run.name)}: search {view.search}, round {view.number}{state}",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for head in _DETAIL:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("stopped by", no_wrap=True)
    table.add_column("worker", overflow="fold")
    for line in view.lines:
        table.add_row(
            *map(escape, _cells(line, shown)), style="bold green" if line.rank == 1 else ""
        )
    return table


def _cells(line: CandidateLine, shown: Noise) -> list[str]:
    measured = line.evaluation.measurement if line.evaluation else None
    return [
        str(line.rank or "-"),
        edge(line.candidate.removed) or f"({line.candidate.index})",
        _points(line.score),
        _points(line.quality_term),
        _points(line.cost_term),
        _points(line.behind),
        _units(shown.units(line.behind)),
        _seconds(measured.seconds if measured else None),
        _ended_by(line),
        _worker(line),
    ]


def _ended_by(line: CandidateLine) -> str:
    if line.evaluation is None:
        return "not evaluated" if line.rank is None else "record lost"
    if line.rank is None:
        return "failed"
    return line.evaluation.measurement.stop_reason or "-"


def _worker(line: CandidateLine) -> str:
    if line.evaluation is None:
        return "-"
    mark = " (cached)" if line.evaluation.cached else ""
    return (line.evaluation.node or "-") + mark


def _reason(line: CandidateLine) -> str:
    measured = line.evaluation.measurement if line.evaluation else None
    return (measured.reason if measured else "") or "its score is not finite"


def _run_dict(
    run: Run, views: dict[int, list[RoundView]], shown: Noise, account: CostAccount
) -> dict[str, Any]:
    return {
        "name": run.name,
        "status": run.status,
        "noise": asdict(shown),
        "cost": asdict(account) | {"device_hours": account.device_hours},
        "searches": [
            {"search": search, "rounds": [_short_dict(view, shown) for view in rounds]}
            for search, rounds in views.items()
        ],
    }


def _short_dict(view: RoundView, shown: Noise) -> dict[str, Any]:
    decision = view.decision
    return {
        "search": view.search,
        "round": view.number,
        "open": decision is None,
        "removed": decision.removed if decision else None,
        "score": view.winner.score if view.winner else None,
        "margin": view.margin,
        "margin_in_noise": shown.units(view.margin),
        "spread": view.spread,
        "seconds": view.seconds,
        "ranked": len(view.ranked),
        "failed": len(view.failed),
        "missing": len(view.missing),
    }


def _round_dict(view: RoundView, shown: Noise) -> dict[str, Any]:
    lines = [_line_dict(line) for line in view.lines]
    return _short_dict(view, shown) | {"noise": asdict(shown), "candidates": lines}


def _line_dict(line: CandidateLine) -> dict[str, Any]:
    evaluation = line.evaluation
    measured = evaluation.measurement if evaluation else None
    return {
        "index": line.candidate.index,
        "removed": line.candidate.removed,
        "rank": line.rank,
        "score": line.score,
        "quality_term": line.quality_term,
        "cost_term": line.cost_term,
        "behind": line.behind,
        "metrics": measured.metrics if measured else {},
        "epochs": measured.epochs if measured else None,
        "stop_reason": measured.stop_reason if measured else None,
        "seconds": measured.seconds if measured else None,
        "worker": evaluation.node if evaluation else None,
        "cached": evaluation.cached if evaluation else None,
        "attempts": evaluation.attempts if evaluation else None,
        "reason": _reason(line) if evaluation and line.rank is None else "",
    }


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(_finite(content), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    """Plain data with null for numbers that JSON has no words for."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _units(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(explain)
