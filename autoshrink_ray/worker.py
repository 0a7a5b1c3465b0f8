"""What runs where a trial is placed: one candidate after the other, on data loaded once."""

from __future__ import annotations

import faulthandler
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from autoshrink_ray.conductor import Conductor
from autoshrink_ray.config import SearchConfig
from autoshrink_ray.dispatch import CandidateDispatcher, final
from autoshrink_ray.ledger import LedgerContents, MemoryLedger
from autoshrink_ray.plan import Plan
from autoshrink_ray.records import Evaluation
from autoshrink_ray.work import Assignment, Outcome, Retries, Task, Work


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Ends this process when what is done within takes too long, also inside native code.

    The driver then takes the work for lost, as with any process that dies.
    """
    if seconds is None:
        yield
        return
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class Worker:
    """Measures candidates.

    Args:
        config: The run's resolved configuration as plain data.
        data: The proxy data.
    """

    def __init__(self, config: dict[str, Any], data: Any) -> None:
        self.plan = Plan.of(SearchConfig.of(config))
        self._evaluator = self.plan.task.evaluator(
            self.plan.space,
            self.plan.macro,
            self.plan.proxy,
            data,
            threads=self.plan.threads,
            gpu=self.plan.config.gpus_per_trial > 0,
        )
        self._node = socket.gethostname()

    def measure(self, task: Task) -> Outcome:
        """Trains one candidate, built from its canonical form."""
        started = time.time()
        with time_limit(self.plan.config.trial_timeout):
            measurement = self._evaluator.evaluate(task.candidate.topology.canonical(), task.seed)
        return Outcome(
            candidate=task.candidate,
            measurement=measurement,
            started=started,
            ended=time.time(),
            node=self._node,
        )


class Measures(Protocol):
    """What a search inside a trial needs of its worker."""

    @property
    def plan(self) -> Plan:
        """The run."""
        ...

    def measure(self, task: Task) -> Outcome:
        """Trains one candidate."""
        ...


class SearchSession:
    """A whole search inside one trial, one evaluation a step.

    It holds a copy of the search's policy. What a step measured reaches that copy only in the
    next step, when the driver has written it to the run's ledger.

    Args:
        worker: Measures the candidates.
        work: The search, and what it has found already.
    """

    def __init__(self, worker: Measures, work: Work) -> None:
        self._worker = worker
        self._ledger = MemoryLedger()
        number = work.search or 0
        search = worker.plan.searches()[number]
        self._conductor = Conductor({number: search}, self._ledger)
        known = {evaluation.candidate.place: evaluation for evaluation in work.known}
        self._conductor.replay(LedgerContents(evaluations=known))
        self._dispatcher = CandidateDispatcher(self._conductor, Retries(worker=0, node=0))
        self._unheard: tuple[Assignment, list[Outcome]] | None = None

    def step(self) -> list[Outcome]:
        """Measures the next candidate; copies for isomorphic candidates come along."""
        self._ledger.evaluations.clear()
        if self._unheard is not None:
            assignment, outcomes = self._unheard
            self._dispatcher.report(assignment.number, outcomes)
            self._unheard = None
        next_one = self._dispatcher.next()
        copies = [_copy(e) for e in self._ledger.evaluations if e.cached]
        if next_one is None:
            return copies
        measured = [self._worker.measure(task) for task in next_one.work.tasks]
        self._unheard = (next_one, [_final(outcome) for outcome in measured])
        return copies + measured


def _final(outcome: Outcome) -> Outcome:
    """The driver starts the trial again if it wants another try; else this is what counts."""
    return outcome.model_copy(update={"measurement": final(outcome.measurement)})


def _copy(evaluation: Evaluation) -> Outcome:
    return Outcome(
        candidate=evaluation.candidate,
        measurement=evaluation.measurement,
        started=evaluation.started,
        ended=evaluation.ended,
        node=evaluation.node,
        cached=True,
    )
