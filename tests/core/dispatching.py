"""A dispatcher that a test drives by hand."""

from __future__ import annotations

from autoshrink_ray.conductor import Conductor, Search
from autoshrink_ray.dispatch import CandidateDispatcher, Dispatcher, SearchDispatcher
from autoshrink_ray.ledger import LedgerContents, MemoryLedger
from autoshrink_ray.objective import OBJECTIVES
from autoshrink_ray.policies import ShrinkPolicy
from autoshrink_ray.records import Evaluation, Measurement
from autoshrink_ray.topology import Topology
from autoshrink_ray.work import Assignment, Loss, Outcome, Retries
from tests.contracts.drivers import outcomes
from tests.contracts.scoring import complete, measure_all

FAN = Topology(("a",) * 4, ((0, 1), (0, 2), (0, 3)))
"""Whichever edge goes, the same cell is left."""


def fan_searches(*evaluation_seeds: int) -> dict[int, Search]:
    """Searches of two rounds, each round's candidates isomorphic, and equal between searches."""
    return {
        number: Search(
            ShrinkPolicy(
                FAN,
                candidates=3,
                keep_fraction=0.01,
                objective=OBJECTIVES["accuracy"],
                seed=0,
                search=number,
            ),
            evaluation_seed,
        )
        for number, evaluation_seed in enumerate(evaluation_seeds)
    }


class Driver:
    """A dispatcher over fresh searches, and the ledger below it."""

    def __init__(
        self,
        found: dict[int, Search],
        *,
        kind: type[CandidateDispatcher] | type[SearchDispatcher] = CandidateDispatcher,
        max_retries: int = 3,
        node_retries: int = 20,
        known: LedgerContents | None = None,
    ) -> None:
        self.ledger = MemoryLedger()
        self.conductor = Conductor(found, self.ledger)
        self.conductor.replay(known or LedgerContents())
        self.time = 100.0
        self.dispatcher: Dispatcher = kind(
            self.conductor, Retries(worker=max_retries, node=node_retries), clock=lambda: self.time
        )

    def next(self) -> Assignment:
        """Work, where there has to be some."""
        assignment = self.dispatcher.next()
        assert assignment is not None
        return assignment

    def report(self, assignment: Assignment, measurement: Measurement | None = None) -> bool:
        def score(topology: Topology, seed: int) -> Measurement:
            return measurement or measure_all(topology, seed)

        return self.dispatcher.report(assignment.number, outcomes(assignment, score))

    def lose(
        self, assignment: Assignment, reason: str = "node 3 went away", loss: Loss = "worker"
    ) -> None:
        self.dispatcher.lost(assignment.number, reason, loss)

    @property
    def evaluations(self) -> list[Evaluation]:
        return self.ledger.evaluations


def report_next(driver: Driver, assignment: Assignment) -> bool:
    """Reports a candidate's work, or the next candidate of a search."""
    if assignment.work.search is None:
        return driver.report(assignment)
    search = assignment.work.search
    candidate = driver.conductor.missing(search)[0]
    outcome = Outcome(
        candidate=candidate, measurement=complete(0.5), started=1, ended=2, node="there"
    )
    return driver.dispatcher.report(assignment.number, [outcome])
