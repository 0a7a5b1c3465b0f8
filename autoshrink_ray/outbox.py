"""Work that is out: what is being worked on, what was lost, what goes out again."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from autoshrink_ray.errors import RetriesExhaustedError
from autoshrink_ray.work import Activity, Assignment, Loss, Retries, Work


class Outbox:
    """Assignments that are out, and those that have to go out again.

    Args:
        retries: How often the same work may be lost.
        clock: Unix time in seconds.
        on_activity: Told of what is being worked on, whenever that changes.

    Attributes:
        out: Assignments by their numbers.
    """

    def __init__(
        self,
        retries: Retries,
        clock: Callable[[], float],
        on_activity: Callable[[Activity], None],
    ) -> None:
        self._numbers: Iterator[int] = itertools.count()
        self._retries = retries
        self._clock = clock
        self._again: deque[Assignment] = deque()
        self._on_activity = on_activity
        self._at_once = 0
        self._busy: dict[int, list[int]] = {}
        self._begun: dict[int, float] = {}
        self._running: Counter[int] = Counter()
        self.out: dict[int, Assignment] = {}

    def begin(self, at_once: int) -> None:
        """Notes how many assignments may be worked on at a time."""
        self._at_once = at_once
        self.tell()

    def started(self, number: int) -> None:
        """Notes that an assignment is being worked on."""
        if number in self.out and number not in self._busy:
            self._busy[number] = _searches(self.out[number].work)
            self._begun[number] = self._clock()
            self._running.update(self._busy[number])
            self.tell()

    def tell(self) -> None:
        """Says what is being worked on."""
        self._on_activity(Activity(+self._running, len(self._busy), self._at_once))

    def take_back(self, number: int) -> Assignment:
        """Ends an assignment; `tell` says so.

        Raises:
            KeyError: If it is not out.
        """
        self._running.subtract(self._busy.pop(number, []))
        self._begun.pop(number, None)
        return self.out.pop(number)

    def renew(self, assignment: Assignment) -> None:
        """Notes what remains of an assignment that goes on after a result."""
        self.out[assignment.number] = assignment
        if assignment.number in self._begun:
            self._begun[assignment.number] = self._clock()

    def _worked_on(self, number: int) -> float:
        """Seconds since the work that is out has begun, or its last result; 0 if it has not."""
        now = self._clock()
        return max(0.0, now - self._begun.get(number, now))

    def send(self, work: Work, earlier: Assignment | None = None) -> Assignment:
        """Hands work out, first or again after an `earlier` try."""
        fresh = Assignment(next(self._numbers), work, self._clock())
        if earlier is not None:
            fresh = replace(earlier, number=fresh.number, work=work, queued=fresh.queued)
        self.out[fresh.number] = fresh
        return fresh

    def next_again(self) -> Assignment | None:
        """The oldest of the assignments that came back, if any."""
        return self._again.popleft() if self._again else None

    def alone(self, assignment: Assignment, work: Work, seconds: float) -> None:
        """Queues work whose memory ran out after `seconds`, to have its device for itself."""
        lost = assignment.lost_seconds + seconds
        attempt = assignment.attempt + 1
        self._again.append(replace(assignment, work=work, attempt=attempt, lost_seconds=lost))

    def lost(self, number: int, what: Callable[[Work], str], reason: str, loss: Loss) -> None:
        """Queues work that was lost; a result that came before news of the loss counts.

        Raises:
            RetriesExhaustedError: If it was lost too often already.
        """
        if number not in self.out:
            return
        seconds = self._worked_on(number)
        assignment = self.take_back(number)
        counted = replace(
            assignment,
            attempt=assignment.attempt + 1,
            losses=assignment.losses + (loss == "worker"),
            node_losses=assignment.node_losses + (loss == "node"),
            lost_seconds=assignment.lost_seconds + seconds,
        )
        spent = [
            f"{times} times ({option} is {most})"
            for times, option, most in (
                (counted.losses, "max_retries", self._retries.worker),
                (counted.node_losses, "max_node_losses", self._retries.node),
            )
            if times > most
        ]
        if spent:
            limit = self._retries.time_limit
            perhaps = f" (perhaps by its time limit, trial_timeout {limit:g} s)" if limit else ""
            raise RetriesExhaustedError(
                f"{what(assignment.work)} was lost {spent[0]}{perhaps}; the last time: {reason}. "
                f"Nothing that finished is lost: start the run again under its name to go on"
            )
        self._again.append(counted)
        self.tell()


def _searches(work: Work) -> list[int]:
    """Search of each candidate that is worked on; a search's trial has one at a time."""
    return [task.candidate.search for task in work.tasks] if work.search is None else [work.search]
