"""What a training tells while it goes, on its way from the workers to whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the actor's process has no use for torch, which takes seconds to import
    from autoshrink_ray.contracts import ProxyData
    from trainables.final.folder import TrainingRun


class TrainObserver:
    """Hears of a training while it goes. Base class: does nothing."""

    def on_start(self, run: TrainingRun, data: ProxyData) -> None:
        """The training is about to start or go on; `run` shows what it has found already."""

    def on_epoch(self, record: Mapping[str, float]) -> None:
        """An epoch is finished: `epoch`, `attempt`, `seconds` and its metrics."""

    def on_note(self, text: str) -> None:
        """Something happened that a user should know: a lost worker, a damaged checkpoint."""


class Reports:
    """Actor through which the workers' news reach the driver, in order."""

    def __init__(self) -> None:
        self._news: list[tuple[str, Any]] = []
        self._controller: Any = None

    def add(self, kind: str, what: Any) -> None:
        """Takes news: `epoch` and a record, or `note` and a text."""
        self._news.append((kind, what))

    def controlled_by(self, controller: list[Any]) -> None:
        """Takes the handle, in a list, of the actor that controls the workers."""
        self._controller = controller[0]

    def since(self, number: int) -> tuple[list[tuple[str, Any]], Any]:
        """News after the first `number` ones, and the actor that controls the workers."""
        return self._news[number:], self._controller
