"""All searches of one run: policies and their ledger, moved forward together."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from autoshrink_ray.counting import Place
from autoshrink_ray.errors import LedgerError
from autoshrink_ray.ledger import LedgerContents, LedgerWriter
from autoshrink_ray.policies import Policy
from autoshrink_ray.records import Candidate, Decision, Evaluation, Measurement
from autoshrink_ray.seeds import evaluation_seed
from autoshrink_ray.work import Activity


@dataclass(frozen=True)
class Search:
    """One search of a run.

    Attributes:
        policy: Its state.
        evaluation_seed: Base of its trainings' seeds; searches with equal ones share results.
    """

    policy: Policy
    evaluation_seed: int

    def seed_of(self, candidate: Candidate) -> int:
        """Seed that trains `candidate`."""
        return evaluation_seed(self.evaluation_seed, candidate.topology.key)


@dataclass(frozen=True)
class Trip:
    """How a measurement came about: facts that no decision depends on.

    Attributes:
        node: Host that trained.
        queued: Unix time at which the driver handed the candidate out.
        started: Unix time at which training began.
        ended: Unix time at which training ended.
        attempts: Trials it took.
        lost_seconds: Wall seconds of those that gave no result.
    """

    node: str = ""
    queued: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    attempts: int = 1
    lost_seconds: float = 0.0


class Observer(Protocol):
    """Hears what happened, after it is in the ledger."""

    def on_evaluation(self, evaluation: Evaluation) -> None:
        """An evaluation is final."""
        ...

    def on_decision(self, decision: Decision) -> None:
        """A round is closed."""
        ...

    def on_activity(self, activity: Activity) -> None:
        """Trainings have begun or ended, or fewer wait: something to look at, and in no ledger."""
        ...


class Conductor:
    """Feeds evaluations to the ledger, then to the policy, and closes rounds.

    Args:
        searches: The run's searches by number.
        ledger: Where everything goes before a policy hears of it.
        observers: Told afterwards.
    """

    def __init__(
        self,
        searches: Mapping[int, Search],
        ledger: LedgerWriter,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.searches = dict(searches)
        self._ledger = ledger
        self._observers = tuple(observers)
        self._recorded: dict[Place, Evaluation] = {}
        self._stand_ins: set[Place] = set()
        self._earlier = LedgerContents()

    @property
    def finished(self) -> bool:
        """Whether all searches are."""
        return all(search.policy.finished for search in self.searches.values())

    def missing(self, search: int) -> list[Candidate]:
        """Candidates of a search's open round without an evaluation, in draw order."""
        proposed = self.searches[search].policy.propose()
        return [candidate for candidate in proposed if candidate.place not in self._recorded]

    def recorded(self, search: int) -> list[Evaluation]:
        """What a search's policy has heard so far, by round and place in the draw."""
        return [e for place, e in sorted(self._recorded.items()) if place[0] == search]

    @property
    def earlier(self) -> list[Evaluation]:
        """What earlier attempts evaluated, also of rounds that are not reached again yet."""
        return [e for e in self._earlier.evaluations.values() if e.measurement.reason != _LOST]

    def was_passed(self, candidate: Candidate) -> bool:
        """Whether earlier attempts decided a candidate's round, or know of a later one."""
        search, number, _ = candidate.place
        decided = any(key[0] == search and key[1] >= number for key in self._earlier.decisions)
        return decided or any(
            place[0] == search and place[1] > number for place in self._earlier.evaluations
        )

    def replay(self, contents: LedgerContents) -> None:
        """Takes over what earlier attempts finished.

        Raises:
            LedgerError: If the ledger contradicts the configuration: an evaluation of another
                topology or seed, or a decision that does not follow from its evaluations.
        """
        self._earlier = contents
        for number in self.searches:
            self._take_over(number)

    def _take_over(self, number: int) -> None:
        """Moves a search on as far as what is known carries it."""
        search = self.searches[number]
        while not search.policy.finished:
            for candidate in search.policy.propose():
                evaluation = self._known(candidate)
                if evaluation is not None and candidate.place not in self._recorded:
                    _check_same(evaluation, candidate, search.seed_of(candidate))
                    self._hear(evaluation)
            decision = search.policy.decide()
            if decision is None:
                return
            self._tell(decision)

    def _known(self, candidate: Candidate) -> Evaluation | None:
        """What an earlier attempt made of a candidate.

        Where the round before is decided only now, two drivers may have come to different parents
        (their machines differ in last digits), and what this one evaluated is of no use here.
        """
        evaluation = self._earlier.evaluations.get(candidate.place)
        is_late = candidate.round > 1 and (
            (candidate.search, candidate.round - 1) not in self._earlier.decisions
        )
        if evaluation is not None and is_late and evaluation.candidate != candidate:
            return None
        return evaluation

    def _hear(self, evaluation: Evaluation) -> None:
        """Lets a policy hear an evaluation, or what its round's decision still tells of one.

        An evaluation that a decision rests on may be lost. It is made again for the record, but
        on another machine with other last digits, so the decision would not follow from it.
        """
        place = evaluation.candidate.place
        decision = self._earlier.decisions.get(place[:2])
        is_new = place not in self._earlier.evaluations or place in self._earlier.remade
        if decision is not None and is_new:
            self._stand_ins.add(place)
            evaluation = _as_decided(evaluation, decision)
        self._recorded[place] = evaluation
        self.searches[place[0]].policy.record(evaluation)

    def accept(
        self, candidate: Candidate, measurement: Measurement, trip: Trip, *, cached: bool = False
    ) -> Evaluation:
        """Takes a final measurement: ledger, policy, observers, then perhaps a decision.

        Args:
            candidate: What was asked for.
            measurement: What came out.
            trip: How it came about.
            cached: The measurement is an isomorphic candidate's, or another run's.

        Raises:
            LedgerError: If the ledger cannot be written.
            RoundFailedError: If the round is complete and no candidate can be ranked.
        """
        search = self.searches[candidate.search]
        evaluation = Evaluation(
            candidate=candidate,
            seed=search.seed_of(candidate),
            measurement=measurement,
            cached=cached,
            attempts=trip.attempts,
            lost_seconds=trip.lost_seconds,
            node=trip.node,
            queued=trip.queued,
            started=trip.started,
            ended=trip.ended,
        )
        self._ledger.append_evaluation(evaluation)
        self._hear(evaluation)
        for observer in self._observers:
            observer.on_evaluation(evaluation)
        decision = search.policy.decide()
        if decision is not None:
            self._tell(decision)
            self._take_over(candidate.search)
        return evaluation

    def _tell(self, decision: Decision) -> None:
        """Passes a new decision on; one that the ledger has already must be the same."""
        known = self._earlier.decisions.get((decision.search, decision.round))
        if known is not None:
            _check_follows(known, decision, self._stand_ins)
            return
        self._ledger.append_decision(decision)
        for observer in self._observers:
            observer.on_decision(decision)

    def tell_activity(self, activity: Activity) -> None:
        """Passes on what is being trained now."""
        for observer in self._observers:
            observer.on_activity(activity)

    def accept_copy(self, candidate: Candidate, original: Evaluation) -> Evaluation:
        """Takes over the measurement of an isomorphic candidate with the same seed."""
        end = original.ended
        trip = Trip(node=original.node, queued=end, started=end, ended=end, attempts=0)
        return self.accept(candidate, original.measurement, trip, cached=True)

    def accept_shared(self, candidate: Candidate, measurement: Measurement) -> Evaluation:
        """Takes over a measurement that another run shared."""
        now = time.time()
        trip = Trip(queued=now, started=now, ended=now, attempts=0)
        return self.accept(candidate, measurement, trip, cached=True)


_LOST = "lost after its round was decided, and it had not won"


def _as_decided(evaluation: Evaluation, decision: Decision) -> Evaluation:
    """A stand-in for a lost evaluation, from which its round's decision follows again."""
    changes: dict[str, Any] = {"status": "failed", "metrics": {}, "reason": _LOST}
    if evaluation.candidate.index == decision.winner:
        changes = {"status": "complete", "metrics": decision.metrics, "reason": ""}
    measurement = evaluation.measurement.model_copy(update=changes)
    return evaluation.model_copy(update={"measurement": measurement})


def _check_follows(known: Decision, decision: Decision, stand_ins: Collection[Place]) -> None:
    if _outcome(known, stand_ins) != _outcome(decision, stand_ins):
        raise LedgerError(
            f"search {decision.search}, round {decision.round}: the ledger's decision (winner "
            f"{known.winner}) does not follow from its evaluations (winner {decision.winner})"
        )


def _outcome(decision: Decision, stand_ins: Collection[Place]) -> Decision:
    """A round's outcome as far as it can be checked.

    How long a search goes on is no part of it: a run can be extended. Nor is what nobody can tell
    of candidates whose evaluations are lost.
    """
    place = (decision.search, decision.round)
    lost = {index for *round_of, index in stand_ins if tuple(round_of) == place}
    return decision.model_copy(
        update={
            "final": False,
            "ranking": tuple(line for line in decision.ranking if line.index not in lost),
            "failed": tuple(index for index in decision.failed if index not in lost),
        }
    )


def _check_same(evaluation: Evaluation, candidate: Candidate, seed: int) -> None:
    if evaluation.candidate != candidate or evaluation.seed != seed:
        raise LedgerError(
            f"search {candidate.search}, round {candidate.round}, candidate {candidate.index}: "
            f"the ledger holds another topology or seed than the configuration gives "
            f"({evaluation.candidate.topology.key}, seed {evaluation.seed}; expected "
            f"{candidate.topology.key}, seed {seed})"
        )
