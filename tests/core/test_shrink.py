"""The shrinking search: its rounds, its draws and its ties."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.objective import OBJECTIVES, objective
from autoshrink_ray.policies import ShrinkPolicy
from autoshrink_ray.policies.base import best_decision, rank
from autoshrink_ray.records import Candidate
from autoshrink_ray.seeds import derive_seed
from autoshrink_ray.topology import Topology
from tests.contracts.drivers import run
from tests.contracts.policy_contract import fill
from tests.contracts.scoring import complete, evaluation, failed

QUALITY_ONLY = objective("accuracy", cost_weight=0)


# Shrinking


def shrink(
    nodes: int = 4,
    candidates: int = 10,
    keep_fraction: float = 0.01,
    seed: int = 0,
    initial: Topology | None = None,
) -> ShrinkPolicy:
    return ShrinkPolicy(
        initial or Topology.complete(tuple("ab"[node % 2] for node in range(nodes))),
        candidates=candidates,
        keep_fraction=keep_fraction,
        objective=OBJECTIVES["accuracy"],
        seed=seed,
    )


shapes = st.tuples(
    st.integers(2, 7), st.integers(1, 12), st.floats(0.01, 0.99), st.integers(0, 2**63 - 1)
)


@given(shapes)
def test_every_candidate_is_its_parent_minus_one_edge_pruned(
    shape: tuple[int, int, float, int],
) -> None:
    policy = shrink(*shape)
    rounds = run(policy)
    parent = Topology.complete(rounds[0][0].topology.ops)
    for candidates, decision in zip(rounds, policy.decisions, strict=True):
        assert decision.parent == parent
        for candidate in candidates:
            if candidate.removed is None:
                assert candidate.topology == parent
                continue
            rest = tuple(edge for edge in parent.edges if edge != candidate.removed)
            assert len(rest) == len(parent.edges) - 1
            assert candidate.topology == Topology(parent.ops, rest).pruned()
        parent = decision.topology


@given(shapes)
def test_a_round_tries_k_different_eligible_edges(shape: tuple[int, int, float, int]) -> None:
    nodes, k, keep_fraction, _ = shape
    policy = shrink(*shape)
    last_size = max(1, round(keep_fraction * nodes * (nodes - 1) / 2))
    for candidates, decision in zip(run(policy), policy.decisions, strict=True):
        assert decision.parent is not None
        if len(decision.parent.edges) <= last_size:
            assert [candidate.removed for candidate in candidates] == [None]
            continue
        removed = [candidate.removed for candidate in candidates]
        eligible = {edge for edge in decision.parent.edges if decision.parent.without(edge).edges}
        assert set(removed) <= eligible
        assert len(set(removed)) == len(removed) == min(k, len(eligible))


@given(shapes)
def test_it_stops_at_the_first_cell_that_is_small_enough(
    shape: tuple[int, int, float, int],
) -> None:
    nodes, _, keep_fraction, _ = shape
    policy = shrink(*shape)
    run(policy)
    last_size = max(1, round(keep_fraction * nodes * (nodes - 1) / 2))
    sizes = [len(decision.topology.edges) for decision in policy.decisions]
    assert sizes[-1] <= last_size
    assert all(size > last_size for size in sizes[:-1])
    assert [decision.final for decision in policy.decisions] == [False] * (len(sizes) - 1) + [True]
    assert len(sizes) <= max(1, nodes * (nodes - 1) // 2 - last_size)


def test_a_chain_of_rounds_without_pruning_takes_one_for_each_edge() -> None:
    fan = Topology(("a",) * 6, tuple((0, node) for node in range(1, 6)))
    policy = shrink(initial=fan, keep_fraction=0.4)
    run(policy)
    assert [len(decision.topology.edges) for decision in policy.decisions] == [4, 3, 2]


def test_half_an_edge_rounds_to_even() -> None:
    """round(0.25 * 10) is 2, as in the original search."""
    policy = shrink(nodes=5, keep_fraction=0.25)
    run(policy)
    assert len(policy.decisions[-1].topology.edges) <= 2
    assert all(len(decision.topology.edges) > 2 for decision in policy.decisions[:-1])


def test_two_nodes_have_one_cell_and_it_is_evaluated() -> None:
    policy = shrink(nodes=2)
    (only,) = policy.propose()
    assert only.removed is None
    assert only.topology == Topology(("a", "b"), ((0, 1),))
    fill(policy, [complete(0.5)])
    decision = policy.decide()
    assert decision is not None
    assert decision.final
    assert policy.best == decision


def test_the_last_edge_is_never_removed() -> None:
    chain = Topology(("a", "a", "a"), ((0, 1), (1, 2)))
    (only,) = shrink(initial=chain).propose()
    assert only.removed == (1, 2)


def evaluations_of_a_search(nodes: int, keep_fraction: float, seed: int) -> int:
    """Number of evaluations where every candidate is as likely to win as every other."""
    policy = shrink(nodes=nodes, candidates=10, keep_fraction=keep_fraction, seed=seed)
    return sum(map(len, run(policy, lambda topology: derive_seed(seed, topology.key) / 2**63)))


def test_the_papers_image_search_takes_about_168_evaluations() -> None:
    """At most 19 rounds of ten and then nine, eight, ... two: 234."""
    sizes = [evaluations_of_a_search(8, 0.01, seed) for seed in range(40)]
    assert max(sizes) <= 234
    assert sum(sizes) / len(sizes) == pytest.approx(168, rel=0.1)


def test_the_papers_language_model_search_takes_about_72_evaluations() -> None:
    sizes = [evaluations_of_a_search(6, 0.25, seed) for seed in range(40)]
    assert max(sizes) <= 95
    assert sum(sizes) / len(sizes) == pytest.approx(72, rel=0.1)


def test_every_edge_is_drawn_about_equally_often() -> None:
    """Standard deviation 13; the bounds are five of them."""
    first = Counter(shrink(candidates=1, seed=seed).propose()[0].removed for seed in range(1200))
    assert set(first) == set(Topology.complete(("a",) * 4).edges)
    assert all(abs(count - 200) < 65 for count in first.values()), first


def test_every_pair_of_edges_is_drawn_about_equally_often() -> None:
    """Standard deviation 8.6."""
    pairs = Counter(
        frozenset(candidate.removed for candidate in shrink(candidates=2, seed=seed).propose())
        for seed in range(1200)
    )
    assert len(pairs) == 15
    assert all(abs(count - 80) < 45 for count in pairs.values()), pairs


def test_a_round_does_not_remember_the_draw_before() -> None:
    """Of a fan of four edges two are tried. The one that stays is one of the next three.

    It is drawn again with probability 2/3; standard deviation 11.5, the bounds are five of them.
    """
    fan = Topology(("a",) * 5, tuple((0, node) for node in range(1, 5)))
    again = 0
    for seed in range(600):
        policy = shrink(initial=fan, candidates=2, seed=seed)
        better = complete(0.6 if seed % 2 else 0.4)
        removed = [candidate.removed for candidate in fill(policy, [complete(0.5), better])]
        decision = policy.decide()
        assert decision is not None
        (stays,) = set(removed) - {decision.removed}
        again += stays in {candidate.removed for candidate in policy.propose()}
    assert abs(again - 400) < 58


# Ties


def candidate(index: int, *edges: tuple[int, int]) -> Candidate:
    return Candidate(search=0, round=1, index=index, topology=Topology(("a",) * 5, edges))


def ranked(*entries: tuple[Candidate, float]) -> list[int]:
    """Indices in order of rank when all have the same accuracy and these MACs."""
    results = [evaluation(one, complete(0.5, macs)) for one, macs in entries]
    assert rank(results, QUALITY_ONLY) == rank(reversed(results), QUALITY_ONLY)
    return [index for index, _ in rank(results, QUALITY_ONLY)]


def test_ties_go_to_fewer_macs_first() -> None:
    wide, chain = candidate(1, (0, 1), (0, 2), (0, 3)), candidate(0, (0, 1))
    assert ranked((chain, 2000), (wide, 1000)) == [1, 0]


def test_then_to_fewer_leaves() -> None:
    two_leaves = candidate(0, (0, 1), (0, 2))
    one_leaf = candidate(1, (0, 1), (0, 2), (1, 2))
    assert ranked((two_leaves, 1000), (one_leaf, 1000)) == [1, 0]


def test_then_to_fewer_edges() -> None:
    three_edges = candidate(0, (0, 1), (0, 2), (1, 2))
    two_edges = candidate(1, (0, 1), (1, 2))
    assert ranked((three_edges, 1000), (two_edges, 1000)) == [1, 0]


def test_then_to_the_earlier_draw() -> None:
    assert ranked(
        (candidate(2, (0, 3)), 1000), (candidate(0, (0, 2)), 1000), (candidate(1, (0, 1)), 1000)
    ) == [0, 1, 2]


def test_rank_leaves_out_what_has_no_finite_score() -> None:
    results = [
        evaluation(candidate(0, (0, 1)), failed()),
        evaluation(candidate(1, (0, 1)), complete(0.1)),
        evaluation(candidate(2, (0, 1)), complete(0.9, macs=0)),
    ]
    assert [index for index, _ in rank(results, OBJECTIVES["accuracy"])] == [1]
    assert rank(results[:1], OBJECTIVES["accuracy"]) == []


def test_the_answer_is_the_best_of_all_rounds_and_not_the_last() -> None:
    policy = shrink(nodes=4, candidates=2)
    accuracies = [0.2, 0.9, 0.5, 0.1, 0.1, 0.1]
    while not policy.finished:
        fill(policy, [complete(accuracies[len(policy.decisions)])])
        policy.decide()
    assert len(policy.decisions) > 2
    assert policy.best == policy.decisions[1]


def test_of_equal_rounds_the_earlier_one_is_the_answer() -> None:
    fan = Topology(("a",) * 4, tuple((0, node) for node in range(1, 4)))
    policy = shrink(initial=fan, candidates=1)
    while not policy.finished:
        fill(policy, [complete(0.5, macs=1000)])
        policy.decide()
    # the same score and MACs; a fan loses a leaf a round
    assert policy.best == policy.decisions[-1]
    same = policy.decisions[0]
    later = same.model_copy(update={"round": 9})
    assert best_decision([later, same]) == same
    assert best_decision([same.model_copy(update={"search": 1}), later]) == later
    assert best_decision([]) is None
