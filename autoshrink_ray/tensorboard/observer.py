"""The observer that keeps a run's streams, and never stands in the way of its search."""

from __future__ import annotations

from collections.abc import Callable

from autoshrink_ray import files
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.observing import RunObserver
from autoshrink_ray.plan import Plan
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.results import Run
from autoshrink_ray.tensorboard.board import Board


class BoardObserver(RunObserver):
    """Writes what `autoshrink-ray tensorboard` shows.

    The streams are a copy of the ledger, made again when the run is started again. So whatever
    goes wrong with them is told once, and the search goes on.

    Args:
        notify: Told what went wrong.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._board: Board | None = None
        self._told: set[str] = set()

    def on_start(self, run: Run, plan: Plan, data: ProxyData) -> None:
        self._try(lambda: self._start(run, full=plan.config.tensorboard == "full"))

    def _start(self, run: Run, *, full: bool) -> None:
        self._board = Board(run, run.folder.child(files.TENSORBOARD), full=full)
        self._board.start()

    def on_evaluation(self, evaluation: Evaluation) -> None:
        board = self._board
        if board is not None:
            self._try(lambda: board.evaluation(evaluation))

    def on_decision(self, decision: Decision) -> None:
        board = self._board
        if board is not None:
            self._try(lambda: board.decision(decision))

    def on_end(self) -> None:
        if self._board is not None:
            self._try(self._board.end)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - a picture must not end a search
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        kind = type(error).__name__
        if kind not in self._told:
            self._told.add(kind)
            self._notify(
                f"TensorBoard does not show all of this run ({kind}: {error}); the search goes on"
            )
