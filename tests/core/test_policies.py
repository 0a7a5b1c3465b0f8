"""The contract of all policies, by whatever they are driven."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from autoshrink_ray.conductor import Conductor
from autoshrink_ray.dispatch import CandidateDispatcher
from autoshrink_ray.errors import RoundFailedError
from autoshrink_ray.ledger import MemoryLedger
from autoshrink_ray.work import Assignment, Retries
from tests.contracts.drivers import Drive, by_dispatcher, by_loop, outcomes
from tests.contracts.policies import MakePolicy, searches
from tests.contracts.policy_contract import DriverContract, PolicyContract, each_policy


class TestPolicies(PolicyContract):
    pass


class TestDrivenByTheDispatcher(DriverContract):
    @pytest.fixture
    def drive(self) -> Drive:
        return by_dispatcher


# Any order of results, losses on the way


def drive_at_random(conductor: Conductor, choose: Callable[[int], int]) -> None:
    """Asks, reports and loses work in whatever order `choose(n)`, in 0..n-1, says."""
    dispatcher = CandidateDispatcher(conductor, Retries(worker=1000))
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
