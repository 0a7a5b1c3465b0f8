"""Every policy that there is, small, for the suites that run over all of them."""

from __future__ import annotations

from collections.abc import Callable

from autoshrink_ray.conductor import Search
from autoshrink_ray.objective import OBJECTIVES
from autoshrink_ray.policies import Policy, RandomPolicy, ShrinkPolicy
from autoshrink_ray.topology import Topology

MakePolicy = Callable[..., Policy]
"""Fresh policy for a `seed` and the number of its `search`."""

OPS = ("b", "a", "b", "a", "a")
"""Operations of the complete cell that all of them start from: five nodes, ten edges."""


def shrink(seed: int, search: int = 0) -> ShrinkPolicy:
    """Six or more rounds of three candidates."""
    return ShrinkPolicy(
        Topology.complete(OPS),
        candidates=3,
        keep_fraction=0.2,
        objective=OBJECTIVES["accuracy"],
        seed=seed,
        search=search,
    )


def random(seed: int, search: int = 0) -> RandomPolicy:
    """One round of twelve candidates."""
    return RandomPolicy(
        Topology.complete(OPS),
        budget=12,
        objective=OBJECTIVES["accuracy"],
        seed=seed,
        search=search,
    )


POLICIES: dict[str, MakePolicy] = {"shrink": shrink, "random": random}


def searches(
    make: MakePolicy, *seeds: int, evaluation_seed: int | None = None
) -> dict[int, Search]:
    """One search for each seed, as a conductor takes them."""
    return {
        number: Search(
            make(seed, search=number), seed if evaluation_seed is None else evaluation_seed
        )
        for number, seed in enumerate(seeds)
    }
