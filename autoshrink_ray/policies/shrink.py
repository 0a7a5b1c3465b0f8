"""AutoShrink: from the complete cell, one edge less each round."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from autoshrink_ray.objective import Objective
from autoshrink_ray.policies.base import RoundPolicy
from autoshrink_ray.seeds import shuffled
from autoshrink_ray.topology import Edge, Topology


class ShrinkPolicy(RoundPolicy):
    """Progressive shrinking (paper, Algorithm 1).

    Each round draws k different edges of the parent, uniformly among those whose removal leaves
    at least one edge after pruning. A candidate is the parent without one of them. The best
    becomes the parent, until at most `round(keep_fraction * |E0|)` edges are left, or one.
    Where the initial cell is already that small, the only round evaluates the cell itself, so
    that every search has an answer.

    Args:
        initial: Cell to start from.
        candidates: k, at least 1.
        keep_fraction: Fraction of the initial edges to keep, in (0, 1).
        objective: Score to maximise.
        seed: Seed of the draws.
        search: Number of the search within its run.
    """

    def __init__(
        self,
        initial: Topology,
        *,
        candidates: int,
        keep_fraction: float,
        objective: Objective,
        seed: int,
        search: int = 0,
    ) -> None:
        super().__init__(search, objective)
        self._initial = initial
        self._candidates = candidates
        self._last_size = last_size(keep_fraction, len(initial.edges))
        self._seed = seed

    @property
    def most_later(self) -> int:
        if self.finished:
            return 0
        return most_drawn_at_once_later(self._parent, self._candidates, self._last_size)

    @property
    def _parent(self) -> Topology:
        return self._decisions[-1].topology if self._decisions else self._initial

    def _draw(self, round_number: int) -> tuple[tuple[Topology, Edge | None], ...]:
        return draw(
            self._parent,
            round_number,
            candidates=self._candidates,
            size=self._last_size,
            seed=self._seed,
        )

    def _is_final(self, round_number: int, winner: Topology) -> bool:
        return ends_with(winner, self._last_size)


def draw(
    parent: Topology, round_number: int, *, candidates: int, size: int, seed: int
) -> tuple[tuple[Topology, Edge | None], ...]:
    """What a round tries, in order: cells with the edge that each has lost (paper, Algorithm 1).

    Args:
        parent: Cell that the round starts from.
        round_number: Round, from 1.
        candidates: k, at least 1.
        size: Number of edges at which the search ends; a parent as small as that is tried itself.
        seed: Seed of the search.
    """
    if len(parent.edges) <= size:
        return ((parent, None),)
    drawn = shuffled(eligible_edges(parent), seed, "round", round_number)
    return tuple((parent.without(edge), edge) for edge in drawn[:candidates])


def eligible_edges(parent: Topology) -> list[Edge]:
    """Edges whose removal leaves at least one edge after pruning, in order."""
    return list(_eligible(parent))


def _eligible(parent: Topology) -> Iterator[Edge]:
    return (edge for edge in parent.edges if parent.without(edge).edges)


def last_size(keep_fraction: float, edges: int) -> int:
    """Number of edges at which a search that starts from `edges` ends (paper; ours: at least 1)."""
    return max(1, round(keep_fraction * edges))


def candidates_drawn(parent: Topology, candidates: int, size: int) -> int:
    """Candidates of the round that goes on from `parent` in a search that ends at `size` edges."""
    if len(parent.edges) <= size:
        return 1
    return sum(1 for _ in islice(_eligible(parent), candidates))


def most_drawn_later(parent: Topology, candidates: int, size: int) -> int:
    """Most candidates of all rounds after the one that goes on from `parent`.

    Each round removes at least one edge, and a parent of e edges has at most e of them to try. It
    becomes less where pruning takes more edges along.
    """
    return sum(min(candidates, edges) for edges in range(size + 1, len(parent.edges)))


def most_drawn_at_once_later(parent: Topology, candidates: int, size: int) -> int:
    """Most candidates of any one round after the one that goes on from `parent`."""
    edges = len(parent.edges) - 1
    return min(candidates, edges) if edges > size else 0


def ends_with(winner: Topology, size: int) -> bool:
    """Whether a search that goes down to `size` edges ends when `winner` has won a round."""
    return len(winner.edges) <= size or next(_eligible(winner), None) is None
