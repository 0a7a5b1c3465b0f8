"""What tests of whole runs have in common."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoshrink_ray import Decision, Evaluation, Run, RunObserver, SearchConfig, run_search
from autoshrink_ray.errors import RunInterruptedError

TABLE = {
    "space": "table",
    "plugins": ["tests.plugins.table"],
    "nodes": 4,
    "candidates": 3,
    "executor": "in-process",
    "tensorboard": "off",
}
"""Settings of a small search without training, and without pictures, which take longest."""


def decisions(run: Run, search: int | None = None) -> list[Decision]:
    found = run.ledger.decisions.values()
    return [d for d in found if search is None or d.search == search]


def what_was_decided(found: list[Decision]) -> list[dict[str, Any]]:
    """Without the number of the search."""
    return [decision.model_dump(exclude={"search"}) for decision in found]


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class Notes(RunObserver):
    """Notes what it hears, and does something when it hears of evaluation number `at`."""

    def __init__(self, at: int = -1, action: Callable[[], Any] = lambda: None) -> None:
        self.heard: list[Any] = []
        self.notices: list[str] = []
        self._at = at
        self._action = action

    def on_start(self, run: Run, plan: Any, data: Any) -> None:
        self.heard.append(run.ledger)

    def on_notice(self, text: str) -> None:
        self.notices.append(text)

    def on_evaluation(self, evaluation: Evaluation) -> None:
        self.heard.append(evaluation)
        if len(self.evaluations) == self._at:
            self._action()

    def on_decision(self, decision: Decision) -> None:
        self.heard.append(decision)

    @property
    def evaluations(self) -> list[Evaluation]:
        return [item for item in self.heard if isinstance(item, Evaluation)]


class Death(BaseException):
    """Stands for SIGKILL: nobody catches it, so nothing is written on the way out."""


def crash() -> None:
    raise Death


def killed(tiny: SearchConfig, at: int, **changes: Any) -> None:
    """Runs until evaluation number `at` and dies without a word."""
    with pytest.raises(Death):
        run_search(tiny, observers=[Notes(at, crash)], **changes)


def interrupted(tiny: SearchConfig, at: int, **changes: Any) -> None:
    def stop() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(RunInterruptedError):
        run_search(tiny, observers=[Notes(at, stop)], **changes)


def results(run: Run) -> dict[tuple[int, int, int], tuple[Any, ...]]:
    """All that training gave, to the bit."""
    return {
        place: (e.seed, e.measurement.status, e.measurement.metrics, e.measurement.curve)
        for place, e in run.ledger.evaluations.items()
    }
