"""Progress for programs: one JSON object a line, written after the ledger has what it says."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from typing import Any, TextIO

from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.observing import RunObserver
from autoshrink_ray.plan import Plan
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.results import Run
from autoshrink_ray.standing import Standing
from autoshrink_ray.work import Activity


class JsonProgress(RunObserver):
    """Writes events `start`, `notice`, `activity`, `evaluation`, `decision` and `end`.

    Args:
        stream: Where the lines go; flushed after each. When its reader goes, the run goes on.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._standing: Standing | None = None
        self._active: dict[str, int] = {}

    def on_start(self, run: Run, plan: Plan, data: ProxyData) -> None:
        self._standing = Standing(plan, run.ledger)
        self._write(
            "start",
            run=run.folder.location,
            data=data.summary,
            evaluations=len(run.ledger.evaluations),
            decisions=len(run.ledger.decisions),
        )

    def on_notice(self, text: str) -> None:
        self._write("notice", text=text)

    def on_activity(self, activity: Activity) -> None:
        if self._standing is None:
            return
        self._standing.active(activity)
        active = {
            "running": sum(activity.running.values()),
            "queued": self._standing.queued,
            "busy": activity.busy,
            "at_once": activity.at_once,
        }
        if active != self._active:
            self._active = active
            self._write("activity", **active)

    def on_evaluation(self, evaluation: Evaluation) -> None:
        if self._standing is not None:
            self._standing.evaluated(evaluation, time.monotonic())
        search, number, index = evaluation.candidate.place
        measurement = evaluation.measurement
        self._write(
            "evaluation",
            search=search,
            round=number,
            index=index,
            removed=evaluation.candidate.removed,
            status=measurement.status,
            reason=measurement.reason,
            metrics=measurement.metrics,
            seconds=measurement.seconds,
            cached=evaluation.cached,
            attempts=evaluation.attempts,
        )

    def on_decision(self, decision: Decision) -> None:
        if self._standing is not None:
            self._standing.decided(decision)
        self._write(
            "decision",
            search=decision.search,
            round=decision.round,
            removed=decision.removed,
            edges=decision.topology.edges,
            score=decision.score,
            metrics=decision.metrics,
            final=decision.final,
        )

    def end(self, run: Run) -> None:
        """Writes the answer of a run that is finished, also of one that was before."""
        self._write("end", run=run.folder.location, status=run.status, best=run.to_dict()["best"])

    def _write(self, event: str, **fields: Any) -> None:
        line = json.dumps(_plain({"event": event, **fields}), allow_nan=False)
        with suppress(BrokenPipeError):
            print(line, file=self._stream, flush=True)


def _plain(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
