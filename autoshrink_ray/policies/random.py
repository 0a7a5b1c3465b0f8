"""Random search: what every other algorithm is compared with."""

from __future__ import annotations

from autoshrink_ray.objective import Objective
from autoshrink_ray.policies.base import RoundPolicy
from autoshrink_ray.seeds import derive_seed, shuffled
from autoshrink_ray.topology import Edge, Topology

_TRIES = 100
"""Draws that may repeat a known cell before a repetition is accepted: small spaces run out."""


class RandomPolicy(RoundPolicy):
    """Evaluates `budget` random sub-DAGs of the complete cell in one round.

    Each is drawn by choosing a number of edges uniformly from 1 to |E0|, then that many edges
    uniformly, then pruning; empty cells are drawn again, and so are isomorphic repetitions while
    new cells are found. The round has no parent and its candidates do not wait for each other.

    Args:
        initial: Complete cell whose sub-DAGs are drawn.
        budget: Number of evaluations, at least 1.
        objective: Score to maximise.
        seed: Seed of the draws.
        search: Number of the search within its run.
    """

    def __init__(
        self, initial: Topology, *, budget: int, objective: Objective, seed: int, search: int = 0
    ) -> None:
        super().__init__(search, objective)
        self._initial = initial
        self._budget = budget
        self._seed = seed

    @property
    def most_later(self) -> int:
        return 0

    def _draw(self, round_number: int) -> tuple[tuple[Topology, Edge | None], ...]:
        keys: set[str] = set()
        drawn: list[tuple[Topology, Edge | None]] = []
        for index in range(self._budget):
            topology = self._new_topology(index, keys)
            keys.add(topology.key)
            drawn.append((topology, None))
        return tuple(drawn)

    def _new_topology(self, index: int, known: set[str]) -> Topology:
        last: Topology | None = None
        for attempt in range(_TRIES):
            topology = self._sub_dag(index, attempt)
            if topology.edges and topology.key not in known:
                return topology
            last = topology if topology.edges else last
        return last or self._initial

    def _sub_dag(self, index: int, attempt: int) -> Topology:
        edges = self._initial.edges
        size = 1 + derive_seed(self._seed, "size", index, attempt) % len(edges)
        kept = shuffled(edges, self._seed, "edges", index, attempt)[:size]
        return Topology(self._initial.ops, tuple(sorted(kept))).pruned()

    def _is_final(self, round_number: int, winner: Topology) -> bool:
        return True
