"""All searches of one run: policies and their ledger, moved forward together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from autoshrink_ray.errors import LedgerError
from autoshrink_ray.ledger import LedgerContents, LedgerWriter
from autoshrink_ray.policies import Policy
from autoshrink_ray.policies.base import best_decision
from autoshrink_ray.records import Candidate, Decision, Evaluation, Measurement
from autoshrink_ray.seeds import evaluation_seed


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
    """

    node: str = ""
    queued: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    attempts: int = 1


class Observer(Protocol):
    """Hears what happened, after it is in the ledger."""

    def on_evaluation(self, evaluation: Evaluation) -> None:
        """An evaluation is final."""
        ...

    def on_decision(self, decision: Decision) -> None:
        """A round is closed."""
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
        self._recorded: dict[tuple[int, int, int], Evaluation] = {}

    @property
    def finished(self) -> bool:
        """Whether all searches are."""
        return all(search.policy.finished for search in self.searches.values())

    @property
    def best(self) -> Decision | None:
        """The round with the best cell of all searches."""
        found = [search.policy.best for search in self.searches.values()]
        return best_decision(decision for decision in found if decision)

    def missing(self, search: int) -> list[Candidate]:
        """Candidates of a search's open round without an evaluation, in draw order."""
        proposed = self.searches[search].policy.propose()
        return [candidate for candidate in proposed if candidate.place not in self._recorded]

    def recorded(self, search: int) -> list[Evaluation]:
        """Evaluations of a search so far, by round and place in the draw."""
        return [e for place, e in sorted(self._recorded.items()) if place[0] == search]

    def replay(self, contents: LedgerContents) -> None:
        """Takes over what earlier attempts finished.

        Raises:
            LedgerError: If the ledger contradicts the configuration: an evaluation of another
                topology or seed, or a decision that does not follow from its evaluations.
        """
        for number, search in self.searches.items():
            self._replay_search(number, search, contents)

    def _replay_search(self, number: int, search: Search, contents: LedgerContents) -> None:
        while not search.policy.finished:
            for candidate in search.policy.propose():
                evaluation = contents.evaluations.get(candidate.place)
                if evaluation is not None:
                    _check_same(evaluation, candidate, search.seed_of(candidate))
                    self._recorded[candidate.place] = evaluation
                    search.policy.record(evaluation)
            decision = search.policy.decide()
            if decision is None:
                return
            known = contents.decisions.get((number, decision.round))
            if known is None:
                self._tell(decision)
            elif known != decision:
                raise LedgerError(
                    f"search {number}, round {decision.round}: the ledger's decision (winner "
                    f"{known.winner}) does not follow from its evaluations (winner "
                    f"{decision.winner})"
                )

    def accept(
        self, candidate: Candidate, measurement: Measurement, trip: Trip, *, cached: bool = False
    ) -> Evaluation:
        """Takes a final measurement: ledger, policy, observers, then perhaps a decision.

        Args:
            candidate: What was asked for.
            measurement: What came out.
            trip: How it came about.
            cached: The measurement is an isomorphic candidate's.

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
            node=trip.node,
            queued=trip.queued,
            started=trip.started,
            ended=trip.ended,
        )
        self._ledger.append_evaluation(evaluation)
        self._recorded[candidate.place] = evaluation
        search.policy.record(evaluation)
        for observer in self._observers:
            observer.on_evaluation(evaluation)
        decision = search.policy.decide()
        if decision is not None:
            self._tell(decision)
        return evaluation

    def _tell(self, decision: Decision) -> None:
        self._ledger.append_decision(decision)
        for observer in self._observers:
            observer.on_decision(decision)

    def accept_copy(self, candidate: Candidate, original: Evaluation) -> Evaluation:
        """Takes over the measurement of an isomorphic candidate with the same seed."""
        end = original.ended
        trip = Trip(node=original.node, queued=end, started=end, ended=end, attempts=0)
        return self.accept(candidate, original.measurement, trip, cached=True)


def _check_same(evaluation: Evaluation, candidate: Candidate, seed: int) -> None:
    if evaluation.candidate != candidate or evaluation.seed != seed:
        raise LedgerError(
            f"search {candidate.search}, round {candidate.round}, candidate {candidate.index}: "
            f"the ledger holds another topology or seed than the configuration gives "
            f"({evaluation.candidate.topology.key}, seed {evaluation.seed}; expected "
            f"{candidate.topology.key}, seed {seed})"
        )
