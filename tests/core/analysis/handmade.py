"""Runs written by hand, whose numbers are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoshrink_ray import Candidate, Evaluation, Measurement, Run, SearchConfig, Topology
from autoshrink_ray.ledger import Ledger, read_ledger
from autoshrink_ray.objective import OBJECTIVES
from autoshrink_ray.policies.base import rank
from autoshrink_ray.policies.shrink import draw
from autoshrink_ray.records import Decision, Ranked
from autoshrink_ray.runfile import RunFile
from autoshrink_ray.storage import Folder

CELL = Topology.complete(("a", "a", "b", "b"))
"""Four nodes, six edges: where every search of these runs starts."""


def shrink_identity(**changes: Any) -> dict[str, Any]:
    own = {
        "space": "hand",
        "searches": 1,
        "seed": 0,
        "nodes": 4,
        "candidates": 3,
        "keep_fraction": 0.3,
        "objective": "accuracy",
        "cost_weight": 0.1,
        "data_fingerprint": "0",
    }
    return own | changes


def run_of(
    folder: Path,
    *attempts: Sequence[Evaluation | Decision],
    identity: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Run:
    """A run with what each attempt of its driver left."""
    place = Folder(str(folder))
    settings = SearchConfig.of({"data": "nothing"} | (config or {})).model_dump(mode="json")
    RunFile(
        name="hand",
        created="2026-01-01T00:00:00+00:00",
        identity=identity or shrink_identity(),
        config=settings,
        data_summary="nothing",
        versions={},
    ).write(place)
    for number, records in enumerate(attempts, start=1):
        ledger = Ledger(place, f"{number:04d}-hand", read_ledger(place).sources)
        for record in records:
            if isinstance(record, Evaluation):
                ledger.append_evaluation(record)
            else:
                ledger.append_decision(record)
    return Run(str(folder))


def candidates(
    number: int = 1, parent: Topology = CELL, *, search: int = 0, count: int = 3
) -> list[Candidate]:
    """What a search with seed `search` draws."""
    cells = draw(parent, number, candidates=count, size=2, seed=search)
    return [
        Candidate(search=search, round=number, index=index, topology=cell, removed=removed)
        for index, (cell, removed) in enumerate(cells)
    ]


def measured(accuracy: float, macs: float = 1e6, **changes: Any) -> Measurement:
    """A million MACs cost nothing: then the score is the accuracy."""
    metrics = {"accuracy": accuracy, "macs": macs, "params": 10}
    return Measurement(
        **{"status": "complete", "metrics": metrics, "seconds": 2.0, "epochs": 3} | changes
    )


def evaluated(
    candidate: Candidate,
    measurement: Measurement,
    at: tuple[float, float, float] = (0.0, 0.0, 2.0),
    **changes: Any,
) -> Evaluation:
    """Args: at: Times of hand-out, start and end."""
    queued, started, ended = at
    return Evaluation(
        **{
            "candidate": candidate,
            "seed": 0,
            "measurement": measurement,
            "node": "here",
            "queued": queued,
            "started": started,
            "ended": ended,
        }
        | changes
    )


def decided(evaluations: Sequence[Evaluation], parent: Topology | None = CELL) -> Decision:
    """What the policy makes of a round."""
    ranking = rank(evaluations, OBJECTIVES["accuracy"])
    by_index = {e.candidate.index: e for e in evaluations}
    winner = by_index[ranking[0][0]]
    ranked = {index for index, _ in ranking}
    return Decision(
        search=winner.candidate.search,
        round=winner.candidate.round,
        parent=parent,
        removed=winner.candidate.removed,
        winner=winner.candidate.index,
        topology=winner.candidate.topology,
        score=ranking[0][1],
        metrics=winner.measurement.metrics,
        ranking=tuple(Ranked(index=index, score=score) for index, score in ranking),
        failed=tuple(sorted(set(by_index) - ranked)),
        final=False,
    )
