"""The ask/tell contract, and what every policy that works in rounds shares."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Protocol

from autoshrink_ray.errors import RoundFailedError
from autoshrink_ray.objective import Objective
from autoshrink_ray.records import Candidate, Decision, Evaluation, Metrics, Ranked
from autoshrink_ray.topology import Topology


class Policy(Protocol):
    """A search algorithm. `propose` shows the open round, `record` fills it, `decide` closes it."""

    @property
    def finished(self) -> bool:
        """Whether all rounds are closed."""
        ...

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Closed rounds, oldest first."""
        ...

    @property
    def best(self) -> Decision | None:
        """The round whose winner is the best cell so far; None before the first decision."""
        ...

    @property
    def most_later(self) -> int:
        """Most candidates that any single round after the open one can have."""
        ...

    def propose(self) -> tuple[Candidate, ...]:
        """The open round's candidates; empty once the search is finished. Changes nothing."""
        ...

    def record(self, evaluation: Evaluation) -> None:
        """Takes one result of the open round. Of two for one candidate the first counts.

        Raises:
            ValueError: If the open round has no such candidate.
        """
        ...

    def decide(self) -> Decision | None:
        """Closes the round if all results are in, else returns None.

        Failed evaluations and scores that are not finite are never ranked.

        Raises:
            RoundFailedError: If no result of the round can be ranked.
        """
        ...


class RoundPolicy(ABC):
    """Rounds, ranking and the answer; a policy adds which candidates a round has.

    Args:
        search: Number of the search within its run.
        objective: Score to maximise.
    """

    def __init__(self, search: int, objective: Objective) -> None:
        self._search = search
        self._objective = objective
        self._decisions: list[Decision] = []
        self._results: dict[int, Evaluation] = {}
        self._open: tuple[Candidate, ...] | None = None

    @abstractmethod
    def _draw(self, round_number: int) -> tuple[tuple[Topology, tuple[int, int] | None], ...]:
        """Topologies of a round in draw order, each with the edge its parent lost."""

    @abstractmethod
    def _is_final(self, round_number: int, winner: Topology) -> bool:
        """Whether the search ends with this round."""

    @property
    @abstractmethod
    def most_later(self) -> int:
        """Most candidates that any single round after the open one can have."""

    @property
    def _parent(self) -> Topology | None:
        """Cell that the open round's candidates come from, if they come from one."""
        return None

    @property
    def finished(self) -> bool:
        return bool(self._decisions) and self._decisions[-1].final

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return tuple(self._decisions)

    @property
    def best(self) -> Decision | None:
        return best_decision(self._decisions)

    def propose(self) -> tuple[Candidate, ...]:
        if self.finished:
            return ()
        if self._open is None:
            number = len(self._decisions) + 1
            self._open = tuple(
                Candidate(
                    search=self._search,
                    round=number,
                    index=index,
                    topology=topology,
                    removed=removed,
                )
                for index, (topology, removed) in enumerate(self._draw(number))
            )
        return self._open

    def record(self, evaluation: Evaluation) -> None:
        candidate = evaluation.candidate
        proposed = self.propose()
        if candidate.index >= len(proposed) or candidate != proposed[candidate.index]:
            raise ValueError(f"no candidate of the open round: {candidate.place}")
        self._results.setdefault(candidate.index, evaluation)

    def decide(self) -> Decision | None:
        candidates = self.propose()
        if self.finished or len(self._results) < len(candidates):
            return None
        decision = self._decision(candidates)
        self._decisions.append(decision)
        self._open = None
        self._results = {}
        return decision

    def _decision(self, candidates: tuple[Candidate, ...]) -> Decision:
        ranking = rank(self._results.values(), self._objective)
        if not ranking:
            raise RoundFailedError(self._why_none_is_left())
        usable = {index for index, _ in ranking}
        winner, score = ranking[0]
        number, topology = candidates[winner].round, candidates[winner].topology
        return Decision(
            search=self._search,
            round=number,
            parent=self._parent,
            removed=candidates[winner].removed,
            winner=winner,
            topology=topology,
            score=score,
            metrics=self._results[winner].measurement.metrics,
            ranking=tuple(Ranked(index=index, score=value) for index, value in ranking),
            failed=tuple(c.index for c in candidates if c.index not in usable),
            final=self._is_final(number, topology),
        )

    def _why_none_is_left(self) -> str:
        reasons = sorted(
            f"candidate {index}: {result.measurement.reason or 'its score is not finite'}"
            for index, result in self._results.items()
        )
        number = len(self._decisions) + 1
        return (
            f"search {self._search}, round {number}: none of {len(reasons)} candidates has a "
            f"usable result; " + "; ".join(reasons)
        )


def rank(evaluations: Iterable[Evaluation], objective: Objective) -> list[tuple[int, float]]:
    """Candidates' indices and scores, best first.

    Failed evaluations and scores that are not finite are left out. Ties go to fewer MACs, then
    fewer leaves, then fewer edges, then the earlier place in the draw.
    """
    usable = [
        (objective.score(evaluation.measurement.metrics), evaluation)
        for evaluation in evaluations
        if evaluation.complete
    ]
    order = sorted(
        (
            -score,
            evaluation.measurement.metrics.get("macs", math.inf),
            *_size(evaluation.candidate.topology),
            evaluation.candidate.index,
        )
        for score, evaluation in usable
        if math.isfinite(score)
    )
    return [(int(entry[-1]), -entry[0]) for entry in order]


def best_decision(decisions: Iterable[Decision]) -> Decision | None:
    """The decision with the best winner; ties as in `rank`, then the earlier search and round."""
    return min(decisions, key=_answer_order, default=None)


def _answer_order(decision: Decision) -> tuple[float, ...]:
    metrics: Metrics = decision.metrics
    return (
        -decision.score,
        metrics.get("macs", math.inf),
        *_size(decision.topology),
        decision.search,
        decision.round,
    )


def _size(topology: Topology) -> tuple[int, int]:
    return len(topology.leaves), len(topology.edges)
