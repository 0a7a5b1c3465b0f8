"""Where a run stands, from what an observer hears of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

from autoshrink_ray.ledger import LedgerContents
from autoshrink_ray.pace import Pace
from autoshrink_ray.plan import Plan
from autoshrink_ray.policies.base import best_decision
from autoshrink_ray.policies.shrink import (
    candidates_drawn,
    ends_with,
    last_size,
    most_drawn_later,
)
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.work import Activity


@dataclass(frozen=True)
class OpenRound:
    """The open round of a search.

    Attributes:
        search: Which search of the run.
        round: Which round, from 1.
        size: Its candidates.
        done: Those that have a result.
        running: Those in training.
        edges: Edges of the cell that they come from; None where they have no parent.
        target: Edges at which the search ends; None where it does not end so.
    """

    search: int
    round: int
    size: int
    done: int
    running: int
    edges: int | None
    target: int | None

    @property
    def queued(self) -> int:
        """Candidates that wait: for a worker, or for the result of an isomorphic one."""
        return max(0, self.size - self.done - self.running)


@dataclass(frozen=True)
class Snapshot:
    """A run at a moment.

    Attributes:
        rounds: Open rounds, by search.
        searches: All searches of the run.
        done: Candidates with a result, of all rounds so far.
        left: Candidates without one, of all rounds to come too; at most so many.
        is_exact: Whether it will be exactly as many.
        best: The best winner so far.
        trained: Candidates that this driver had trained; results from elsewhere are none.
        busy: Workers that train.
        at_once: Workers that may train at a time; 0 while that is not known.
        eta: Seconds until all are done, at most about so many; None while nothing is measured.
    """

    rounds: Sequence[OpenRound]
    searches: int
    done: int
    left: int
    is_exact: bool
    best: Decision | None
    trained: int
    busy: int
    at_once: int
    eta: float | None


class Standing:
    """Keeps count; one thread may tell it things while another one looks.

    Args:
        plan: What the run does.
        contents: What its ledger holds already.
    """

    def __init__(self, plan: Plan, contents: LedgerContents) -> None:
        self._lock = Lock()
        self._searches = [_Search(plan, number) for number in range(plan.config.searches)]
        self._is_exact = plan.config.algorithm == "random"
        self._pace = Pace()
        self._trained = 0
        self._best: Decision | None = None
        self._activity = Activity(running={}, busy=0, at_once=0)
        for _, decision in sorted(contents.decisions.items()):
            self.decided(decision)
        for search, number, index in contents.evaluations:
            self._searches[search].evaluated(number, index)

    def evaluated(self, evaluation: Evaluation, now: float) -> None:
        """Counts an evaluation.

        Args:
            evaluation: What an observer heard.
            now: When, in seconds of the clock of `snapshot`.
        """
        search, number, index = evaluation.candidate.place
        with self._lock:
            self._searches[search].evaluated(number, index)
            if not evaluation.cached:
                self._trained += 1
                self._pace.add(now, evaluation.measurement.seconds)

    def decided(self, decision: Decision) -> None:
        """Closes a round."""
        with self._lock:
            self._searches[decision.search].decided(decision)
            known = [self._best] if self._best is not None else []
            self._best = best_decision([*known, decision])

    def active(self, activity: Activity) -> None:
        """Takes over what is being trained."""
        with self._lock:
            self._activity = activity
            self._pace.busy(activity.busy)

    @property
    def queued(self) -> int:
        """Candidates of the open rounds that wait, see `OpenRound.queued`."""
        with self._lock:
            return sum(found.queued for found in self._open_rounds())

    def _open_rounds(self) -> Iterator[OpenRound]:
        running = self._activity.running
        for search in self._searches:
            if not search.finished:
                yield search.open_round(running.get(search.number, 0))

    def snapshot(self, now: float) -> Snapshot:
        """The run at the time `now`, in seconds."""
        with self._lock:
            left = sum(search.left for search in self._searches)
            return Snapshot(
                rounds=tuple(self._open_rounds()),
                searches=len(self._searches),
                done=sum(search.done for search in self._searches),
                left=left,
                is_exact=self._is_exact,
                best=self._best,
                trained=self._trained,
                busy=self._activity.busy,
                at_once=self._activity.at_once,
                eta=self._pace.eta(left, now),
            )


class _Search:
    """Closed rounds of a search, and what of later ones is there."""

    def __init__(self, plan: Plan, number: int) -> None:
        config = plan.config
        self.number = number
        self.finished = False
        self._budget = config.budget if config.algorithm == "random" else None
        self._candidates = config.candidates
        self._rounds = 0
        self._closed = 0
        self._evaluated: dict[int, set[int]] = {}
        initial = plan.initial(number)
        keep = config.keep_fraction or plan.space.keep_fraction
        self._target = last_size(keep, len(initial.edges))
        self._parent = initial
        self._size = self._drawn()

    def _drawn(self) -> int:
        if self._budget is not None:
            return self._budget
        return candidates_drawn(self._parent, self._candidates, self._target)

    def evaluated(self, number: int, index: int) -> None:
        if number > self._rounds:
            self._evaluated.setdefault(number, set()).add(index)

    def decided(self, decision: Decision) -> None:
        self._closed += len(decision.ranking) + len(decision.failed)
        self._evaluated.pop(decision.round, None)
        if decision.round < self._rounds:
            return  # a damaged one, decided again
        self._rounds = decision.round
        self._parent = decision.topology
        self.finished = self._budget is not None or ends_with(self._parent, self._target)
        self._size = 0 if self.finished else self._drawn()

    @property
    def _done_now(self) -> int:
        return len(self._evaluated.get(self._rounds + 1, ()))

    @property
    def done(self) -> int:
        return self._closed + self._done_now

    @property
    def left(self) -> int:
        """Candidates without a result, at most."""
        if self.finished:
            return 0
        later = 0
        if self._budget is None:
            later = most_drawn_later(self._parent, self._candidates, self._target)
        return max(0, self._size - self._done_now) + later

    def open_round(self, running: int) -> OpenRound:
        shrinks = self._budget is None
        return OpenRound(
            search=self.number,
            round=self._rounds + 1,
            size=self._size,
            done=self._done_now,
            running=running,
            edges=len(self._parent.edges) if shrinks else None,
            target=self._target if shrinks else None,
        )
