"""Random search: a budget, and different cells while there are some."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.objective import OBJECTIVES
from autoshrink_ray.policies import RandomPolicy
from autoshrink_ray.topology import Topology
from tests.contracts.drivers import run
from tests.contracts.scoring import measure


def random_search(budget: int, nodes: int = 5, seed: int = 0) -> RandomPolicy:
    return RandomPolicy(
        Topology.complete(tuple("ab"[node % 2] for node in range(nodes))),
        budget=budget,
        objective=OBJECTIVES["accuracy"],
        seed=seed,
    )


@pytest.mark.parametrize("budget", [1, 2, 40])
def test_random_search_evaluates_exactly_its_budget(budget: int) -> None:
    policy = random_search(budget)
    (candidates,) = run(policy)
    assert len(candidates) == budget
    (decision,) = policy.decisions
    assert decision.final
    assert decision.parent is decision.removed is None
    assert policy.best == decision


def test_random_cells_are_different_while_there_are_enough() -> None:
    for seed in range(5):
        keys = [candidate.topology.key for candidate in random_search(60, seed=seed).propose()]
        assert len(set(keys)) == 60


def test_a_space_that_is_used_up_gives_repetitions() -> None:
    """Two nodes have one cell; three with operations a, b, a have eight, all of them found."""
    assert {c.topology.key for c in random_search(3, nodes=2).propose()} == {"b:0"}
    assert len(random_search(3, nodes=2).propose()) == 3
    found = random_search(12, nodes=3).propose()
    assert len(found) == 12
    assert {c.topology.key for c in found} == {
        "b:0",
        "a:0",
        "a:0|b:0",
        "b:0|a:1",
        "b:0|a:0,1",
    }


def test_random_cells_are_sub_dags_of_the_initial_cell() -> None:
    policy = random_search(50)
    initial = Topology.complete(policy.propose()[0].topology.ops)
    sizes = set()
    for one in policy.propose():
        assert set(one.topology.edges) <= set(initial.edges)
        assert one.removed is None
        sizes.add(len(one.topology.edges))
    assert {1, 2} <= sizes
    assert max(sizes) >= 9


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 100))
def test_a_larger_budget_begins_with_the_same_cells(few: int, more: int, seed: int) -> None:
    small = random_search(few, seed=seed).propose()
    assert random_search(few + more, seed=seed).propose()[:few] == small


def test_made_up_results_have_ties_failures_and_scores_that_are_not_finite() -> None:
    """Otherwise the suites above would show less than they say."""
    cells = [c.topology for c in random_search(200, nodes=6).propose()]
    results = [measure(cell, 0) for cell in cells]
    assert any(result.status == "failed" for result in results)
    assert any(result.metrics.get("macs") == 0 for result in results)
    assert len({result.metrics.get("accuracy") for result in results}) < 20
