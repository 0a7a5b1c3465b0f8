"""What every policy promises, and what everything that drives one promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.errors import RoundFailedError
from autoshrink_ray.objective import OBJECTIVES
from autoshrink_ray.policies import Policy
from autoshrink_ray.records import Candidate, Decision, Evaluation, Measurement
from autoshrink_ray.topology import Topology
from tests.contracts.drivers import Drive, by_loop
from tests.contracts.policies import POLICIES, MakePolicy, searches
from tests.contracts.scoring import complete, evaluation, failed, measure, measure_all

SEEDS = range(12)

measurements = st.one_of(
    st.builds(complete, st.sampled_from([0.25, 0.5, 0.75]), st.sampled_from([1000, 2000])),
    st.builds(complete, st.just(0.99), st.just(0)),  # its score is NaN
    st.builds(failed, st.sampled_from(["diverged", "out of memory"])),
    st.just(failed().model_copy(update={"metrics": complete(1.0).metrics})),
)


def fill(policy: Policy, results: list[Measurement]) -> tuple[Candidate, ...]:
    """Records `results` (repeated as needed) for the open round, in draw order."""
    candidates = policy.propose()
    for place, candidate in enumerate(candidates):
        policy.record(evaluation(candidate, results[place % len(results)]))
    return candidates


each_policy = pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)


@each_policy
class PolicyContract:
    """Properties of a policy alone. A subclass named `Test...` runs them."""

    def test_candidates_are_numbered_in_draw_order(self, make: MakePolicy) -> None:
        policy = make(3, search=2)
        for round_number in (1, 2):
            places = [candidate.place for candidate in policy.propose()]
            assert places == [(2, round_number, index) for index in range(len(places))]
            fill(policy, [complete(0.5)])
            decision = policy.decide()
            assert decision is not None
            assert (decision.search, decision.round) == (2, round_number)
            if decision.final:
                break

    def test_candidates_are_pruned_cells_with_an_edge(self, make: MakePolicy) -> None:
        for candidate in make(0).propose():
            assert candidate.topology.edges
            assert candidate.topology == candidate.topology.pruned()

    def test_propose_changes_nothing(self, make: MakePolicy) -> None:
        asked, plain = make(5), make(5)
        while not plain.finished:
            for candidate in plain.propose():
                result = evaluation(candidate, measure_all(candidate.topology, 0))
                assert asked.propose() == asked.propose() == plain.propose()
                plain.record(result)
                asked.record(result)
            assert asked.decide() == plain.decide()
            asked.propose()
        assert asked.decisions == plain.decisions

    @pytest.mark.parametrize("seed", SEEDS)
    def test_no_later_round_has_more_candidates_than_was_said_before(
        self, make: MakePolicy, seed: int
    ) -> None:
        policy, sizes, said = make(seed), [], []
        while not policy.finished:
            said.append(policy.most_later)
            sizes.append(len(policy.propose()))
            for candidate in policy.propose():
                policy.record(evaluation(candidate, measure_all(candidate.topology, seed)))
            policy.decide()
        assert policy.most_later == 0
        for number, most in enumerate(said):
            assert most >= max(sizes[number + 1 :], default=0)

    def test_a_round_stays_open_until_the_last_result(self, make: MakePolicy) -> None:
        policy = make(1)
        *first, last = policy.propose()
        for candidate in first:
            policy.record(evaluation(candidate, complete(0.5)))
            assert policy.decide() is None
        assert policy.decisions == ()
        assert policy.best is None
        policy.record(evaluation(last, complete(0.5)))
        assert policy.decide() == policy.decisions[0]

    @pytest.mark.parametrize(
        "change",
        [
            {"search": 7},
            {"round": 2},
            {"index": 1000},
            {"removed": (0, 99)},
            {"topology": Topology(("x", "y"), ((0, 1),))},
        ],
    )
    def test_unknown_candidates_are_refused(self, make: MakePolicy, change: dict[str, Any]) -> None:
        policy = make(1)
        stranger = policy.propose()[0].model_copy(update=change)
        with pytest.raises(ValueError, match="no candidate of the open round"):
            policy.record(evaluation(stranger, complete(0.9)))
        assert policy.decide() is None

    def test_a_candidate_of_a_closed_round_is_refused(self, make: MakePolicy) -> None:
        policy = make(1)
        old = fill(policy, [complete(0.5)])[0]
        policy.decide()
        with pytest.raises(ValueError, match="no candidate of the open round"):
            policy.record(evaluation(old, complete(0.9)))

    def test_a_finished_policy_is_silent(self, make: MakePolicy) -> None:
        policy = make(1)
        by_loop(searches(lambda seed, search: policy, 1), measure_all)
        assert policy.finished
        assert policy.propose() == ()
        assert policy.decide() is None
        assert [decision.final for decision in policy.decisions].index(True) + 1 == len(
            policy.decisions
        )

    def test_the_first_of_two_results_counts(self, make: MakePolicy) -> None:
        policy = make(1)
        candidates = policy.propose()
        for candidate in candidates:
            policy.record(evaluation(candidate, complete(0.5)))
            policy.record(evaluation(candidate, complete(0.9 if candidate.index else 0.1)))
        decision = policy.decide()
        assert decision is not None
        assert decision.metrics["accuracy"] == 0.5
        assert {line.score for line in decision.ranking} == {decision.score}

    @given(st.data())
    def test_failed_and_non_finite_results_never_win(
        self, make: MakePolicy, data: st.DataObject
    ) -> None:
        policy = make(data.draw(st.integers(0, 20)))
        size = len(policy.propose())
        results = data.draw(st.lists(measurements, min_size=size, max_size=size))
        candidates = fill(policy, results)
        score = OBJECTIVES["accuracy"].score
        scores = {
            i: score(m.metrics) if m.status == "complete" else math.nan
            for i, m in enumerate(results)
        }
        usable = {i for i, value in scores.items() if math.isfinite(value)}
        if not usable:
            with pytest.raises(RoundFailedError):
                policy.decide()
            return
        decision = policy.decide()
        assert decision is not None
        assert decision.score == scores[decision.winner] == max(scores[i] for i in usable)
        assert decision.topology == candidates[decision.winner].topology
        assert decision.removed == candidates[decision.winner].removed
        assert decision.metrics == results[decision.winner].metrics
        assert decision.ranking[0].index == decision.winner
        assert {line.index: line.score for line in decision.ranking} == {
            i: scores[i] for i in usable
        }
        assert [line.score for line in decision.ranking] == sorted(
            (scores[i] for i in usable), reverse=True
        )
        assert decision.failed == tuple(sorted(set(scores) - usable))

    def test_a_round_of_failures_fails_with_all_reasons(self, make: MakePolicy) -> None:
        policy = make(1, search=4)
        candidates = fill(policy, [failed("diverged in epoch 1"), complete(0.9, macs=0)])
        for _ in range(2):
            with pytest.raises(RoundFailedError) as caught:
                policy.decide()
            message = str(caught.value)
            assert f"search 4, round 1: none of {len(candidates)} candidates" in message
            assert "candidate 0: diverged in epoch 1" in message
            assert "candidate 1: its score is not finite" in message
        assert policy.decisions == ()
        assert not policy.finished

    @given(st.data())
    def test_the_order_of_results_does_not_matter(
        self, make: MakePolicy, data: st.DataObject
    ) -> None:
        seed = data.draw(st.integers(0, 3))
        expected = decisions_by_loop(make, seed)
        policy = make(seed)
        while not policy.finished:
            for candidate in data.draw(st.permutations(policy.propose())):
                policy.record(evaluation(candidate, measure_all(candidate.topology, seed)))
            policy.decide()
        assert policy.decisions == expected

    @given(st.data())
    def test_order_repeats_and_late_results_do_not_matter(
        self, make: MakePolicy, data: st.DataObject
    ) -> None:
        """Some trainings fail, some results come several times, and not the same each time."""
        seed = data.draw(st.integers(0, 3), label="seed")
        expected, plain_failure = _recorded(make(seed), lambda own: own)
        found, failure = _recorded(make(seed), lambda own: data.draw(_disorder(own)))
        assert (found, failure) == (expected, plain_failure)

    def test_the_seed_alone_decides(self, make: MakePolicy) -> None:
        first = [decisions_by_loop(make, seed) for seed in SEEDS]
        assert first == [decisions_by_loop(make, seed) for seed in SEEDS]
        assert len(set(map(_winners, first))) > len(SEEDS) // 2

    def test_the_draws_of_a_seed_do_not_depend_on_the_number_of_the_search(
        self, make: MakePolicy
    ) -> None:
        first, other = make(1, search=0).propose(), make(1, search=5).propose()
        assert [c.topology for c in first] == [c.topology for c in other]

    def test_the_best_is_that_of_all_rounds(self, make: MakePolicy) -> None:
        for seed in SEEDS:
            policy = make(seed)
            by_loop(searches(lambda seed, search, policy=policy: policy, seed), measure_all)
            assert policy.best is not None
            assert policy.best.score == max(decision.score for decision in policy.decisions)


@st.composite
def _disorder(draw: st.DrawFn, own: list[Evaluation]) -> list[Evaluation]:
    """All of `own` in any order, and behind each one some that say something else."""
    found = draw(st.permutations(own))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(found) - 1))
        other = found[place].model_copy(update={"measurement": draw(measurements)})
        found.insert(draw(st.integers(place + 1, len(found))), other)
    return found


def _recorded(
    policy: Policy, arrange: Callable[[list[Evaluation]], list[Evaluation]]
) -> tuple[tuple[Decision, ...], str]:
    """Decisions of a whole search whose results are recorded as arranged, and why it failed."""
    while not policy.finished:
        own = [evaluation(c, measure(c.topology, c.round)) for c in policy.propose()]
        for result in arrange(own):
            policy.record(result)
        try:
            assert policy.decide() is not None
        except RoundFailedError as error:
            return policy.decisions, str(error)
    return policy.decisions, ""


def decisions_by_loop(make: MakePolicy, seed: int) -> tuple[Decision, ...]:
    """Decisions when nothing fails and trainings are seeded by `seed` itself."""
    policy = make(seed)
    while not policy.finished:
        for candidate in policy.propose():
            policy.record(evaluation(candidate, measure_all(candidate.topology, seed)))
        policy.decide()
    return policy.decisions


def _winners(decisions: tuple[Decision, ...]) -> tuple[Topology, ...]:
    return tuple(decision.topology for decision in decisions)


@each_policy
class DriverContract:
    """Whoever drives a search, it makes the same decisions, or fails for the same reasons.

    A subclass named `Test...` has the fixture `drive`.
    """

    seeds = SEEDS

    def test_decisions_are_those_of_a_plain_loop(self, make: MakePolicy, drive: Drive) -> None:
        for seed in self.seeds:
            assert _ending(drive, make, seed) == _ending(by_loop, make, seed)

    def test_searches_that_interleave_decide_as_if_alone(
        self, make: MakePolicy, drive: Drive
    ) -> None:
        seeds = [seed for seed in range(50) if not _ending(by_loop, make, seed)[1]][:3]
        together = searches(make, *seeds)
        drive(together)
        for number, seed in enumerate(seeds):
            alone = {number: searches(make, *seeds)[number]}
            by_loop(alone)
            assert together[number].policy.decisions == alone[number].policy.decisions, seed

    def test_searches_that_share_results_decide_as_if_alone(
        self, make: MakePolicy, drive: Drive
    ) -> None:
        shared = next(
            s for s in range(50) if not _ending(by_loop, make, 0, 0, evaluation_seed=s)[1]
        )
        together, alone = (searches(make, 0, 0, evaluation_seed=shared) for _ in range(2))
        drive(together)
        by_loop(alone)
        for number in alone:
            assert together[number].policy.decisions == alone[number].policy.decisions


def _ending(
    drive: Drive, make: MakePolicy, *seeds: int, evaluation_seed: int | None = None
) -> tuple[list[tuple[Decision, ...]], str]:
    """Decisions of all searches, and why the driver gave up if it did."""
    driven = searches(make, *seeds, evaluation_seed=evaluation_seed)
    error = ""
    try:
        drive(driven)
    except RoundFailedError as raised:
        error = str(raised)
    return [search.policy.decisions for search in driven.values()], error
