"""A run on a virtual clock: the real dispatcher and the real policies, trainings that only last.

There is no second model of what goes out when. What a worker does is an event with a time; all
else, the order of searches, barriers, copies of isomorphic candidates, is the code of real runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from autoshrink_ray.conductor import Conductor
from autoshrink_ray.dispatch import CandidateDispatcher, Dispatcher, SearchDispatcher
from autoshrink_ray.forecast.overheads import Overheads
from autoshrink_ray.forecast.seconds import Source
from autoshrink_ray.ledger import LedgerContents, MemoryLedger
from autoshrink_ray.plan import Plan
from autoshrink_ray.records import Decision
from autoshrink_ray.work import Assignment, Outcome, Retries, Task
from autoshrink_ray.worker import SearchSession


@dataclass(frozen=True)
class Simulated:
    """How a simulated run went.

    Attributes:
        wall: Seconds from the command to its return.
        busy: Seconds of training, summed over the workers.
        trainings: Trainings that were simulated.
        evaluations: Candidates with a result, copies included.
        most_at_once: The largest number of workers that trained, or started to, at one time.
        decisions: Rounds that were closed, in that order.
    """

    wall: float
    busy: float
    trainings: int
    evaluations: int
    most_at_once: int
    decisions: tuple[Decision, ...]


def simulate(
    plan: Plan,
    source: Source,
    workers: int,
    overheads: Overheads,
    known: LedgerContents | None = None,
) -> Simulated:
    """Runs what is left of a run on `workers` workers.

    Args:
        plan: The run.
        source: What trainings give.
        workers: Trials at once.
        overheads: What goes by beside trainings.
        known: What a run has finished already; None for nothing.

    Raises:
        ValueError: If there is no worker.
        RunError: If `known` contradicts the plan, or a round has no usable result.
    """
    if workers < 1:
        raise ValueError(f"a run needs at least 1 worker, got {workers}")
    return _Clockwork(plan, source, workers, overheads, known or LedgerContents()).run()


class _Clockwork:
    """Workers, what they do, and the time."""

    def __init__(
        self,
        plan: Plan,
        source: Source,
        workers: int,
        overheads: Overheads,
        known: LedgerContents,
    ) -> None:
        self.plan = plan
        self._source = source
        self._overheads = overheads
        self._ledger = MemoryLedger()
        conductor = Conductor(dict(enumerate(plan.searches())), self._ledger)
        conductor.replay(known)
        self._replayed = len(self._ledger.decisions)
        self._paid = self._replayed
        self._dispatcher = self._of(conductor)
        self._workers, self._warm, self._cold = workers, 0, workers
        self._now = overheads.start + overheads.node
        self._begins = 0.0
        self._free = 0.0
        self._ends: list[tuple[float, int, Assignment, list[Outcome]]] = []
        self._count = 0
        self._sessions: dict[int, SearchSession] = {}
        self._trained: list[float] = []
        self._most_at_once = 0

    def _of(self, conductor: Conductor) -> Dispatcher:
        retries = Retries(worker=0, node=0)
        if self.plan.config.granularity == "search":
            return SearchDispatcher(conductor, retries, clock=lambda: self._now)
        return CandidateDispatcher(conductor, retries, clock=lambda: self._now)

    def run(self) -> Simulated:
        self._dispatcher.begin(self._workers)
        self._hand_out()
        while self._ends:
            self._now, _, assignment, outcomes = heapq.heappop(self._ends)
            self._report(assignment, outcomes)
            self._hand_out()
        return Simulated(
            wall=self._now + self._overheads.end,
            busy=sum(self._trained),
            trainings=len(self._trained),
            evaluations=len(self._ledger.evaluations),
            most_at_once=self._most_at_once,
            decisions=tuple(self._ledger.decisions[self._replayed :]),
        )

    def _hand_out(self) -> None:
        while self._warm + self._cold and (assignment := self._dispatcher.next()):
            self._pay_for_rounds()  # copies may have closed one on the way
            self._dispatcher.started(assignment.number)
            self._begins = max(self._now, self._free) + self._take_worker()
            self._work(assignment)
        self._most_at_once = max(self._most_at_once, len(self._ends))

    def _take_worker(self) -> float:
        """Takes an idle worker, a warm one if there is one; seconds until it begins."""
        if self._warm:
            self._warm -= 1
            return self._overheads.candidate
        self._cold -= 1
        return self._overheads.worker

    def _work(self, assignment: Assignment) -> None:
        if assignment.work.search is None:
            outcomes = [self.measure(task) for task in assignment.work.tasks]
        else:
            session = self._sessions.get(assignment.number)
            if session is None:
                session = SearchSession(self, assignment.work)
                self._sessions[assignment.number] = session
            outcomes = session.step()
        self._count += 1
        heapq.heappush(self._ends, (self._begins, self._count, assignment, outcomes))

    def measure(self, task: Task) -> Outcome:
        """What a worker does, and how long: several tasks of one trial follow each other."""
        measurement = self._source.measurement(task)
        started, self._begins = self._begins, self._begins + measurement.seconds
        self._trained.append(measurement.seconds)
        return Outcome(
            candidate=task.candidate,
            measurement=measurement,
            started=started,
            ended=self._begins,
            node="",
        )

    def _report(self, assignment: Assignment, outcomes: Sequence[Outcome]) -> None:
        over = self._dispatcher.report(assignment.number, list(outcomes))
        self._pay_for_rounds()
        if over:
            self._warm += 1
            self._sessions.pop(assignment.number, None)
        else:
            self._begins = max(self._now, self._free) + self._overheads.candidate
            self._work(assignment)

    def _pay_for_rounds(self) -> None:
        """Holds the driver for each round that was closed: it closes those of all searches."""
        closed = len(self._ledger.decisions) - self._paid
        if closed:
            self._free = max(self._now, self._free) + closed * self._overheads.round
            self._paid += closed
