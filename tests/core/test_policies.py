"""The contract of all policies, and what is special about each."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from autoshrink_ray.conductor import Conductor
from autoshrink_ray.dispatch import Assignment, CandidateDispatcher
from autoshrink_ray.errors import RoundFailedError
from autoshrink_ray.ledger import MemoryLedger
from autoshrink_ray.objective import OBJECTIVES, objective
from autoshrink_ray.policies import RandomPolicy, ShrinkPolicy
from autoshrink_ray.policies.base import best_decision, rank
from autoshrink_ray.records import Candidate
from autoshrink_ray.seeds import derive_seed
from autoshrink_ray.topology import Topology
from tests.contracts.drivers import Drive, by_dispatcher, by_loop, outcomes
from tests.contracts.policies import MakePolicy, searches
from tests.contracts.policy_contract import DriverContract, PolicyContract, each_policy, fill
from tests.contracts.scoring import accuracy_of, complete, evaluation, failed, measure

QUALITY_ONLY = objective("accuracy", cost_weight=0)


class TestPolicies(PolicyContract):
    pass


class TestDrivenByTheDispatcher(DriverContract):
    @pytest.fixture
    def drive(self) -> Drive:
        return by_dispatcher


# Any order of results, losses on the way


def drive_at_random(conductor: Conductor, choose: Callable[[int], int]) -> None:
    """Asks, reports and loses work in whatever order `choose(n)`, in 0..n-1, says."""
    dispatcher = CandidateDispatcher(conductor, max_retries=1000)
    out: list[Assignment] = []
    while not dispatcher.finished:
        if (not out or choose(2)) and (fresh := dispatcher.next()) is not None:
            out.append(fresh)
            continue
        if not out:
            break
        assignment = out.pop(choose(len(out)))
        if choose(4) == 3:
            dispatcher.lost(assignment.number, "a node went away")
        else:
            assert dispatcher.report(assignment.number, outcomes(assignment))
        dispatcher.lost(assignment.number, "news of a loss that came late")
    assert dispatcher.finished


@each_policy
@given(st.lists(st.integers(0, 999), max_size=150), st.integers(0, 30))
def test_no_order_of_results_and_losses_changes_a_decision(
    make: MakePolicy, chances: list[int], seed: int
) -> None:
    expected, driven = searches(make, seed, seed + 1), searches(make, seed, seed + 1)
    ledger = MemoryLedger()
    try:
        by_loop(expected)
    except RoundFailedError:
        reject()
    chance = itertools.chain(chances, itertools.repeat(0))
    drive_at_random(Conductor(driven, ledger), lambda n: next(chance) % n)
    for number, search in driven.items():
        assert search.policy.decisions == expected[number].policy.decisions
    places = [e.candidate.place for e in ledger.evaluations]
    assert len(places) == len(set(places)), "a candidate was accepted twice"


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


def run(
    policy: ShrinkPolicy | RandomPolicy,
    accuracy: Callable[[Topology], float] = lambda topology: accuracy_of(topology, 0),
) -> list[tuple[Candidate, ...]]:
    """Runs to the end, all cells costing the same; the candidates of each round."""
    rounds = []
    while not policy.finished:
        rounds.append(policy.propose())
        for candidate in policy.propose():
            policy.record(evaluation(candidate, complete(accuracy(candidate.topology))))
        assert policy.decide() is not None
    return rounds


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


def test_rounds_draw_independently() -> None:
    fan = Topology(("a",) * 5, tuple((0, node) for node in range(1, 5)))
    orders = set()
    for seed in range(40):
        policy = shrink(initial=fan, candidates=1, seed=seed)
        run(policy)
        orders.add(tuple(decision.removed for decision in policy.decisions))
    assert len(orders) > 12


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


# Random search


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
