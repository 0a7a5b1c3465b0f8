"""Work that leaves for a worker, and what to do with what comes back, or does not.

A dispatcher stands between the conductor and whatever executes: Tune, or a plain loop. It never
decides anything about a search; it only sees to it that each candidate ends up measured.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from autoshrink_ray.cache import EvaluationCache
from autoshrink_ray.conductor import Conductor, Trip
from autoshrink_ray.outbox import Outbox
from autoshrink_ray.records import Candidate, Evaluation, Measurement
from autoshrink_ray.warm import idle_wanted
from autoshrink_ray.work import Assignment, Loss, Outcome, Retries, Task, Work


class Dispatcher(Protocol):
    """Hands out work; takes outcomes and losses. One per granularity."""

    def begin(self, at_once: int) -> None:
        """Hears, before it hands anything out, how many trainings may run at a time."""
        ...

    def next(self) -> Assignment | None:
        """Work that can start now; None while all of it is out or the run is finished."""
        ...

    def started(self, number: int) -> None:
        """Hears that an assignment has found a place and is being worked on.

        Only for those who watch: nothing that is handed out or decided depends on it.
        """
        ...

    def report(self, number: int, outcomes: list[Outcome]) -> bool:
        """Takes outcomes of an assignment; True when the assignment is over."""
        ...

    def lost(self, number: int, reason: str, loss: Loss = "worker") -> None:
        """Takes an assignment back that the infrastructure lost, to hand it out again.

        Raises:
            RetriesExhaustedError: If it was handed out too often already.
        """
        ...

    def idle_wanted(self, at_once: int) -> int:
        """Workers without work for which there may still be some, now or in a later round.

        Args:
            at_once: How many trainings may run at a time.
        """
        ...

    @property
    def finished(self) -> bool:
        """Whether the run is."""
        ...


class CandidateDispatcher:
    """One trial per candidate; candidates of all searches interleave.

    Isomorphic candidates with the same seed train once: who asks while the first is out waits
    for it, who asks later gets a copy at once.

    Args:
        conductor: The run.
        retries: How often a candidate may be lost and handed out again.
        cache: Measurements that other runs share; None for none.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        conductor: Conductor,
        retries: Retries,
        cache: EvaluationCache | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._conductor = conductor
        self._cache = cache
        self._outbox = Outbox(retries, clock, conductor.tell_activity)
        self._fresh: dict[tuple[int, int], deque[Candidate]] = {}
        self._known: dict[tuple[int, str], Evaluation] = {}
        self._waiting: dict[tuple[int, str], list[Candidate]] = {}
        self._turns = deque(conductor.searches)
        for evaluation in conductor.earlier:
            self._known.setdefault(_identity(evaluation.candidate, evaluation.seed), evaluation)

    @property
    def finished(self) -> bool:
        return self._conductor.finished

    def begin(self, at_once: int) -> None:
        self._outbox.begin(at_once)

    def started(self, number: int) -> None:
        self._outbox.started(number)

    def idle_wanted(self, at_once: int) -> int:
        most = sum(
            max(len(self._conductor.missing(number)), search.policy.most_later)
            for number, search in self._conductor.searches.items()
        )
        return idle_wanted(most, at_once, len(self._outbox.out))

    def next(self) -> Assignment | None:
        if again := self._outbox.next_again():
            return self._outbox.send(again.work, again)
        for search in tuple(self._turns):
            task = self._next_task(search)
            if task is not None:
                self._turns.remove(search)
                self._turns.append(search)
                return self._outbox.send(Work(tasks=(task,)))
        return None

    def _next_task(self, search: int) -> Task | None:
        """Next candidate of a search that needs training; serves copies on the way."""
        while queue := self._fresh_candidates(search):
            candidate = queue.popleft()
            seed = self._conductor.searches[search].seed_of(candidate)
            identity = _identity(candidate, seed)
            if identity in self._known:
                self._conductor.accept_copy(candidate, self._known[identity])
                self._outbox.tell()
            elif identity in self._waiting:
                self._waiting[identity].append(candidate)
            elif measurement := self._shared(candidate, seed):
                self._known[identity] = self._conductor.accept_shared(candidate, measurement)
                self._outbox.tell()
            else:
                self._waiting[identity] = []
                return Task(candidate=candidate, seed=seed)
        return None

    def _shared(self, candidate: Candidate, seed: int) -> Measurement | None:
        return self._cache.get(candidate.topology.key, seed) if self._cache else None

    def _fresh_candidates(self, search: int) -> deque[Candidate]:
        """Candidates of a search's open round that nobody has been asked for yet."""
        place = (search, len(self._conductor.searches[search].policy.decisions))
        if place not in self._fresh:
            self._fresh.pop((search, place[1] - 1), None)
            self._fresh[place] = deque(self._conductor.missing(search))
        return self._fresh[place]

    def report(self, number: int, outcomes: list[Outcome]) -> bool:
        assignment = self._outbox.take_back(number)
        tasks = {task.candidate.place: task for task in assignment.work.tasks}
        for outcome in outcomes:
            task = tasks.pop(outcome.candidate.place)
            if needs_own_device(outcome, assignment):
                work = Work(tasks=(task,), exclusive=True)
                self._outbox.alone(assignment, work, outcome.measurement.seconds)
            else:
                self._finish(task, outcome, assignment)
        if tasks:
            raise ValueError(f"a trial reported nothing for {sorted(tasks)}")
        self._outbox.tell()
        return True

    def _finish(self, task: Task, outcome: Outcome, assignment: Assignment) -> None:
        identity = _identity(task.candidate, task.seed)
        evaluation = self._conductor.accept(
            task.candidate, final(outcome.measurement), trip(outcome, assignment)
        )
        self._known[identity] = evaluation
        if self._cache is not None:
            self._cache.put(task.candidate.topology.key, task.seed, outcome.measurement)
        for candidate in self._waiting.pop(identity):
            self._conductor.accept_copy(candidate, evaluation)

    def lost(self, number: int, reason: str, loss: Loss = "worker") -> None:
        self._outbox.lost(number, _name, reason, loss)


class SearchDispatcher:
    """One trial per search: the trial holds a copy of the policy and reports each evaluation.

    Where earlier attempts went on from the trial's round, as after damage, the driver knows more
    than the trial: it ends with its report, and the search goes out again with all that is known.

    Args:
        conductor: The run.
        retries: How often a search's trial may be lost and started again.
        clock: Unix time in seconds.
    """

    def __init__(
        self, conductor: Conductor, retries: Retries, clock: Callable[[], float] = time.time
    ) -> None:
        self._conductor = conductor
        self._outbox = Outbox(retries, clock, conductor.tell_activity)
        self._ready = deque(
            number for number, search in conductor.searches.items() if not search.policy.finished
        )

    @property
    def finished(self) -> bool:
        return self._conductor.finished

    def begin(self, at_once: int) -> None:
        self._outbox.begin(at_once)

    def started(self, number: int) -> None:
        self._outbox.started(number)

    def idle_wanted(self, at_once: int) -> int:
        searches = self._conductor.searches.values()
        most = sum(not search.policy.finished for search in searches)
        return idle_wanted(most, at_once, len(self._outbox.out))

    def next(self) -> Assignment | None:
        if again := self._outbox.next_again():
            work = self._work(_search_of(again), exclusive=again.work.exclusive)
            return self._outbox.send(work, again)
        if self._ready:
            return self._outbox.send(self._work(self._ready.popleft(), exclusive=False))
        return None

    def _work(self, search: int, *, exclusive: bool) -> Work:
        known = tuple(self._conductor.recorded(search))
        return Work(search=search, known=known, exclusive=exclusive)

    def report(self, number: int, outcomes: list[Outcome]) -> bool:
        assignment = self._outbox.out[number]
        search = _search_of(assignment)
        passed = False
        for outcome in outcomes:
            if passed and outcome.candidate not in self._conductor.missing(search):
                continue
            passed = passed or self._conductor.was_passed(outcome.candidate)
            if needs_own_device(outcome, assignment):
                self._outbox.take_back(number)
                self._outbox.tell()
                work = assignment.work.model_copy(update={"exclusive": True})
                self._outbox.alone(assignment, work, outcome.measurement.seconds)
                return True
            self._conductor.accept(
                outcome.candidate,
                final(outcome.measurement),
                trip(outcome, assignment),
                cached=outcome.cached,
            )
            # The next evaluation of this trial starts its own count of losses and wait.
            fresh = Assignment(number, assignment.work, queued=outcome.ended)
            self._outbox.renew(fresh)
            assignment = fresh
        finished = self._conductor.searches[search].policy.finished
        if passed and not finished:
            self._ready.append(search)
        if passed or finished:
            self._outbox.take_back(number)
        self._outbox.tell()
        return passed or finished

    def lost(self, number: int, reason: str, loss: Loss = "worker") -> None:
        self._outbox.lost(number, _name, reason, loss)


def _search_of(assignment: Assignment) -> int:
    if assignment.work.search is None:
        raise ValueError("this assignment carries candidates, not a search")
    return assignment.work.search


def needs_own_device(outcome: Outcome, assignment: Assignment) -> bool:
    """Whether memory ran out beside neighbours: then it is tried again alone."""
    return outcome.measurement.status == "out_of_memory" and not assignment.work.exclusive


def final(measurement: Measurement) -> Measurement:
    """Out of memory alone on the device is the candidate's own failure."""
    if measurement.status != "out_of_memory":
        return measurement
    return measurement.model_copy(update={"status": "failed"})


def trip(outcome: Outcome, assignment: Assignment) -> Trip:
    """How an outcome came about."""
    return Trip(
        node=outcome.node,
        queued=assignment.queued,
        started=outcome.started,
        ended=outcome.ended,
        attempts=0 if outcome.cached else assignment.attempt,
        lost_seconds=assignment.lost_seconds,
    )


def _identity(candidate: Candidate, seed: int) -> tuple[int, str]:
    return seed, candidate.topology.key


def _name(work: Work) -> str:
    if work.search is not None:
        return f"the trial of search {work.search}"
    places = (task.candidate.place for task in work.tasks)
    return "; ".join(f"search {s}, round {r}, candidate {i}" for s, r, i in places)
