"""Who hears of a run while it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from autoshrink_ray.conductor import Observer
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.errors import TakenOverError
from autoshrink_ray.plan import Plan
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.results import Run
from autoshrink_ray.work import Activity


class RunObserver(Observer):
    """An observer that also hears how a run starts. Base class: does nothing."""

    def on_start(self, run: Run, plan: Plan, data: ProxyData) -> None:
        """The run is about to start or go on; `run` shows what it has found already."""

    def on_notice(self, text: str) -> None:
        """Something that a user should know and no decision depends on."""

    def on_evaluation(self, evaluation: Evaluation) -> None:
        """An evaluation is final and in the ledger."""

    def on_decision(self, decision: Decision) -> None:
        """A round is closed and its decision in the ledger."""

    def on_activity(self, activity: Activity) -> None:
        """What is being trained, or what waits for it, has changed.

        Called as each training begins and ends, and after each result that was taken over.
        """

    def on_end(self) -> None:
        """The driver is about to end: the run is finished, failed or interrupted.

        Not called where the driver was killed, or where another one has taken the run over.
        """


def notify(observers: Sequence[RunObserver], text: str) -> None:
    """Tells observers what a user should know."""
    for observer in observers:
        observer.on_notice(text)


@contextmanager
def ending(observers: Sequence[RunObserver]) -> Iterator[None]:
    """Tells observers that the driver ends, however it does, unless the run is another one's."""
    with ExitStack() as stack:
        for observer in reversed(observers):
            stack.callback(observer.on_end)  # one that raises keeps it from nobody else
        try:
            yield
        except TakenOverError:
            stack.pop_all()
            raise
