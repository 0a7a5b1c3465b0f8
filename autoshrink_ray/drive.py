"""One driver attempt: replay, work off what is left, leave a readable run behind."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from autoshrink_ray.cache import EvaluationCache
from autoshrink_ray.conductor import Conductor, Observer
from autoshrink_ray.dispatch import CandidateDispatcher, Dispatcher, SearchDispatcher
from autoshrink_ray.errors import (
    AutoshrinkError,
    RunError,
    RunInterruptedError,
    StorageError,
    TakenOverError,
    told,
)
from autoshrink_ray.executors import WorkOff
from autoshrink_ray.lease import Hold, ending
from autoshrink_ray.ledger import End, Ledger, LedgerContents, LedgerWriter, next_attempt
from autoshrink_ray.plan import Plan
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.results import write_results
from autoshrink_ray.storage import Folder
from autoshrink_ray.work import Retries


@dataclass(frozen=True)
class Drive:
    """One start of a run's driver.

    Attributes:
        folder: The run's folder.
        plan: What the run does.
        observers: Told of everything that is finished.
        hold: The lease on the run.
        caught: Signals that want the run to stop.
        cache: Measurements that runs share; None for none.
    """

    folder: Folder
    plan: Plan
    observers: Sequence[Observer]
    hold: Hold
    caught: Sequence[int]
    cache: EvaluationCache | None

    def run(self, contents: LedgerContents, work_off: WorkOff) -> None:
        """Brings the run to its end.

        Args:
            contents: What its ledger holds.
            work_off: How the executor does that.

        Raises:
            RunError: If the run failed.
            RunInterruptedError: If a signal was caught.
        """
        ledger = Ledger(self.folder, next_attempt(contents, secrets.token_hex(4)), contents.sources)
        searches = dict(enumerate(self.plan.searches()))
        conductor = Conductor(searches, _Fenced(ledger, self.hold), self.observers)
        try:
            conductor.replay(contents)
            self._work(conductor, work_off)
            with _while_running():
                write_results(self.folder)
        except RunInterruptedError as error:
            self._leave_readable(ledger, End(status="interrupted", message=str(error)))
            raise
        except Exception as error:
            self._leave_readable(ledger, End(status="failed", message=told(error)))
            raise
        ledger.append_end(End(status="finished"))

    def _work(self, conductor: Conductor, work_off: WorkOff) -> None:
        dispatcher = _dispatcher(self.plan, conductor, self.cache)
        work_off(dispatcher, lambda: ending(self.caught, self.hold) is not None)
        if conductor.finished:
            return
        if error := ending(self.caught, self.hold):
            raise error
        raise RunError("the executor returned before the run was finished; it can be resumed")

    def _leave_readable(self, ledger: Ledger, end: End) -> None:
        """As far as the storage still allows; what stopped the run matters more than this."""
        with suppress(AutoshrinkError):
            ledger.append_end(end)
            if not self.hold.is_lost_now():
                write_results(self.folder)


@dataclass(frozen=True)
class _Fenced:
    """A ledger that takes decisions only from the driver that holds the run.

    The earliest attempt's decision of a round counts, so one that wakes up late must not add any.
    """

    ledger: LedgerWriter
    hold: Hold

    def append_evaluation(self, evaluation: Evaluation) -> None:
        self.ledger.append_evaluation(evaluation)

    def append_decision(self, decision: Decision) -> None:
        with _while_running():
            lost = self.hold.is_lost_now()
        if lost:
            raise TakenOverError
        self.ledger.append_decision(decision)


@contextmanager
def _while_running() -> Iterator[None]:
    """A storage that gives way while a run goes is no wrong usage."""
    try:
        yield
    except StorageError as error:
        raise RunError(f"{error}; the run can be resumed") from error


def _dispatcher(plan: Plan, conductor: Conductor, cache: EvaluationCache | None) -> Dispatcher:
    config = plan.config
    retries = Retries(config.max_retries, config.max_node_losses, config.trial_timeout)
    if config.granularity == "search":
        return SearchDispatcher(conductor, retries)
    return CandidateDispatcher(conductor, retries, cache)
