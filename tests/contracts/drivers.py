"""What a search can be driven by, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from autoshrink_ray.conductor import Conductor, Search
from autoshrink_ray.dispatch import CandidateDispatcher
from autoshrink_ray.ledger import LedgerWriter, MemoryLedger
from autoshrink_ray.policies import Policy
from autoshrink_ray.records import Candidate
from autoshrink_ray.topology import Topology
from autoshrink_ray.work import Assignment, Outcome, Retries
from tests.contracts.scoring import Score, accuracy_of, complete, evaluation, measure

Drive = Callable[[Mapping[int, Search]], None]
"""Brings searches to their end, with results from `tests.contracts.scoring.measure`."""


def by_loop(searches: Mapping[int, Search], score: Score = measure) -> None:
    """The contract's reference: one search after the other, results in draw order."""
    for search in searches.values():
        while not search.policy.finished:
            for candidate in search.policy.propose():
                seed = search.seed_of(candidate)
                result = score(candidate.topology, seed)
                search.policy.record(evaluation(candidate, result, seed))
            assert search.policy.decide() is not None


def by_dispatcher(
    searches: Mapping[int, Search], score: Score = measure, ledger: LedgerWriter | None = None
) -> None:
    """As runs do it, all candidates that can be out at once, the last one back first."""
    work_off(Conductor(searches, ledger or MemoryLedger()), score)


def work_off(conductor: Conductor, score: Score = measure) -> None:
    """Brings what a conductor holds to its end."""
    dispatcher = CandidateDispatcher(conductor, Retries(worker=0))
    out: list[Assignment] = []
    while True:
        while (assignment := dispatcher.next()) is not None:
            out.append(assignment)
        if not out:
            break
        latest = out.pop()
        dispatcher.report(latest.number, outcomes(latest, score))
    assert dispatcher.finished


def outcomes(assignment: Assignment, score: Score = measure) -> list[Outcome]:
    """What a trial with this work reports."""
    return [
        Outcome(
            candidate=task.candidate,
            measurement=score(task.candidate.topology.canonical(), task.seed),
            started=assignment.queued + 1,
            ended=assignment.queued + 2,
            node="here",
        )
        for task in assignment.work.tasks
    ]


def run(
    policy: Policy,
    accuracy: Callable[[Topology], float] = lambda topology: accuracy_of(topology, 0),
) -> list[tuple[Candidate, ...]]:
    """Runs a policy to its end, all cells costing the same; the candidates of each round."""
    rounds = []
    while not policy.finished:
        rounds.append(policy.propose())
        for candidate in policy.propose():
            policy.record(evaluation(candidate, complete(accuracy(candidate.topology))))
        assert policy.decide() is not None
    return rounds
