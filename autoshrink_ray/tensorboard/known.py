"""What is known of a run while it goes: its ledger's contents, held in memory."""

from __future__ import annotations

import time

from autoshrink_ray.counting import Place, Round
from autoshrink_ray.ledger import LedgerContents
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.results import Run


class Known:
    """Evaluations and decisions by round, first those of the ledger, then what is added.

    Attributes:
        decisions: Decisions by search and round.
        begin: Unix time at which the first training began.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        evaluations = run.ledger.evaluations.values()
        self.begin = min((e.started for e in evaluations), default=time.time())
        self._rounds: dict[Round, dict[int, Evaluation]] = {}
        self.decisions: dict[Round, Decision] = dict(run.ledger.decisions)
        for evaluation in evaluations:
            self.add(evaluation)

    def add(self, evaluation: Evaluation) -> None:
        """Takes a further evaluation."""
        search, number, index = evaluation.candidate.place
        self._rounds.setdefault((search, number), {})[index] = evaluation

    @property
    def rounds(self) -> list[Round]:
        """Rounds of which anything is known, in order."""
        return sorted(self._rounds.keys() | self.decisions.keys())

    def evaluations(self, search: int, number: int) -> list[Evaluation]:
        """Evaluations of a round, in the order of the draw."""
        found = self._rounds.get((search, number), {})
        return [found[index] for index in sorted(found)]

    def evaluation(self, place: Place) -> Evaluation:
        """The evaluation of a place that has one."""
        search, number, index = place
        return self._rounds[search, number][index]

    @property
    def places(self) -> set[Place]:
        """Places that have an evaluation."""
        return {(*key, index) for key, found in self._rounds.items() for index in found}

    @property
    def winners(self) -> set[Place]:
        """Places of the rounds' winners, as far as their evaluations are known."""
        won = {(*key, decision.winner) for key, decision in self.decisions.items()}
        return {place for place in won if place[2] in self._rounds.get(place[:2], {})}

    @property
    def run(self) -> Run:
        """The run as far as it is known."""
        found = {place: self.evaluation(place) for place in sorted(self.places)}
        decisions = dict(sorted(self.decisions.items()))
        return self._run.with_ledger(LedgerContents(evaluations=found, decisions=decisions))
