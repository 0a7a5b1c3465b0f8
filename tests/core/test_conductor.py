"""Ledger first, then the policy; and from any ledger the same search."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.conductor import Conductor, Search, Trip
from autoshrink_ray.errors import LedgerError, RoundFailedError
from autoshrink_ray.ledger import LedgerContents, MemoryLedger
from autoshrink_ray.records import Decision, Evaluation, Measurement
from autoshrink_ray.topology import Topology
from tests.contracts.drivers import by_loop, work_off
from tests.contracts.policies import POLICIES, MakePolicy, searches, shrink
from tests.contracts.policy_contract import each_policy
from tests.contracts.scoring import complete, failed, measure_all

NOWHERE = Trip()


class Diary(MemoryLedger):
    """A ledger and an observer that notes in which order things happen."""

    def __init__(self, search: Search) -> None:
        super().__init__()
        self.search = search
        self.events: list[str] = []

    def append_evaluation(self, evaluation: Evaluation) -> None:
        super().append_evaluation(evaluation)
        self.events.append(f"ledger: {evaluation.candidate.index}")

    def append_decision(self, decision: Decision) -> None:
        super().append_decision(decision)
        self.events.append(f"ledger: round {decision.round}")

    def on_evaluation(self, evaluation: Evaluation) -> None:
        self.events.append(f"told: {evaluation.candidate.index}")

    def on_decision(self, decision: Decision) -> None:
        self.events.append(f"told: round {decision.round}")


class Full(MemoryLedger):
    """A ledger that takes so many records and no more."""

    def __init__(self, evaluations: int = 1000, decisions: int = 1000) -> None:
        super().__init__()
        self._room = (evaluations, decisions)

    def append_evaluation(self, evaluation: Evaluation) -> None:
        if len(self.evaluations) == self._room[0]:
            raise LedgerError("the disk is full")
        super().append_evaluation(evaluation)

    def append_decision(self, decision: Decision) -> None:
        if len(self.decisions) == self._room[1]:
            raise LedgerError("the disk is full")
        super().append_decision(decision)


def one_search(seed: int = 0) -> dict[int, Search]:
    return searches(shrink, seed)


def accept_all(conductor: Conductor, measurement: Measurement, search: int = 0) -> None:
    """Gives every candidate of a search's open round the same result."""
    for candidate in conductor.missing(search):
        conductor.accept(candidate, measurement, NOWHERE)


# What comes first


def test_the_ledger_has_it_before_anybody_hears_of_it() -> None:
    found = one_search()
    diary = Diary(found[0])
    accept_all(Conductor(found, diary, [diary]), complete(0.5))
    assert diary.events == [
        "ledger: 0",
        "told: 0",
        "ledger: 1",
        "told: 1",
        "ledger: 2",
        "told: 2",
        "ledger: round 1",
        "told: round 1",
    ]


def test_a_policy_never_hears_what_the_ledger_did_not_take() -> None:
    found = one_search()
    diary = Diary(found[0])
    conductor = Conductor(found, Full(evaluations=2), [diary])
    with pytest.raises(LedgerError, match="the disk is full"):
        accept_all(conductor, complete(0.5))
    assert diary.events == ["told: 0", "told: 1"]
    assert [candidate.index for candidate in conductor.missing(0)] == [2]
    assert len(conductor.recorded(0)) == 2
    assert found[0].policy.decide() is None, "the round waits for the third result"


def test_nobody_hears_of_a_decision_that_the_ledger_did_not_take() -> None:
    found = one_search()
    diary = Diary(found[0])
    with pytest.raises(LedgerError, match="the disk is full"):
        accept_all(Conductor(found, Full(decisions=0), [diary]), complete(0.5))
    assert diary.events == ["told: 0", "told: 1", "told: 2"]


def test_a_round_that_fails_has_its_evaluations_in_the_ledger() -> None:
    ledger = MemoryLedger()
    with pytest.raises(RoundFailedError, match=r"search 0, round 1: .* diverged"):
        accept_all(Conductor(one_search(), ledger), failed("diverged"))
    assert len(ledger.evaluations) == 3
    assert ledger.decisions == []


# What is in a record


def test_an_evaluation_says_how_it_came_about() -> None:
    found = one_search(5)
    ledger = MemoryLedger()
    conductor = Conductor(found, ledger)
    candidate = conductor.missing(0)[1]
    trip = Trip(node="a", queued=1.0, started=2.0, ended=3.0, attempts=4)
    evaluation = conductor.accept(candidate, complete(0.5), trip)
    assert ledger.evaluations == [evaluation]
    assert evaluation.candidate == candidate
    assert evaluation.seed == found[0].seed_of(candidate)
    assert evaluation.measurement == complete(0.5)
    assert not evaluation.cached
    assert (evaluation.node, evaluation.queued, evaluation.started, evaluation.ended) == (
        "a",
        1.0,
        2.0,
        3.0,
    )
    assert evaluation.attempts == 4


def test_a_copy_took_no_time_and_no_trial() -> None:
    conductor = Conductor(one_search(), MemoryLedger())
    first, second, _ = conductor.missing(0)
    trip = Trip(node="a", queued=1.0, started=2.0, ended=3.0)
    copy = conductor.accept_copy(second, conductor.accept(first, complete(0.5), trip))
    assert copy.candidate == second
    assert copy.measurement == complete(0.5)
    assert copy.cached
    assert copy.attempts == 0
    assert copy.node == "a"
    assert copy.queued == copy.started == copy.ended == 3.0


def test_seeds_follow_from_evaluation_seed_and_key() -> None:
    """Not from the search's number or seed, nor from how nodes are numbered."""
    one, other = searches(shrink, 3, 8, evaluation_seed=1).values()
    candidate = one.policy.propose()[0]
    renumbered = candidate.model_copy(update={"topology": candidate.topology.canonical()})
    assert one.seed_of(candidate) == other.seed_of(candidate) == one.seed_of(renumbered)
    assert Search(one.policy, 2).seed_of(candidate) != one.seed_of(candidate)


def test_a_run_is_finished_when_all_its_searches_are() -> None:
    conductor = Conductor(searches(shrink, 0, 1), MemoryLedger())
    while not conductor.searches[0].policy.finished:
        assert not conductor.finished
        accept_all(conductor, complete(0.5), 0)
    assert not conductor.finished
    work_off(conductor, lambda topology, seed: complete(0.1))
    assert conductor.finished


def test_records_of_a_search_are_in_order_whatever_came_first() -> None:
    conductor = Conductor(searches(shrink, 0, 1), MemoryLedger())
    for search in (1, 0):
        for candidate in reversed(conductor.missing(search)):
            conductor.accept(candidate, complete(0.5), NOWHERE)
    assert [e.candidate.place for e in conductor.recorded(1)] == [(1, 1, i) for i in range(3)]


# Replay


def contents(evaluations: list[Evaluation], decisions: list[Decision]) -> LedgerContents:
    """As if read from storage."""
    return LedgerContents(
        evaluations={evaluation.candidate.place: evaluation for evaluation in evaluations},
        decisions={(decision.search, decision.round): decision for decision in decisions},
    )


def whole_run(make: MakePolicy) -> MemoryLedger:
    """Two searches that share results, so that some are copies."""
    ledger = MemoryLedger()
    work_off(Conductor(searches(make, 0, 1, evaluation_seed=0), ledger), measure_all)
    return ledger


RUNS = {name: whole_run(make) for name, make in POLICIES.items()}


def going_on(make: MakePolicy, known: LedgerContents) -> tuple[Conductor, MemoryLedger]:
    """A fresh conductor that has replayed `known`, and what it wrote."""
    ledger = MemoryLedger()
    conductor = Conductor(searches(make, 0, 1, evaluation_seed=0), ledger)
    conductor.replay(known)
    return conductor, ledger


def in_order(decisions: list[Decision]) -> list[Decision]:
    return sorted(decisions, key=lambda decision: (decision.search, decision.round))


def decided(conductor: Conductor) -> list[Decision]:
    return [d for search in conductor.searches.values() for d in search.policy.decisions]


@pytest.mark.parametrize("name", POLICIES)
@given(data=st.data())
def test_a_run_that_was_cut_off_anywhere_goes_on_to_the_same_end(
    name: str, data: st.DataObject
) -> None:
    """Whether or not the last decision was still written."""
    run, make = RUNS[name], POLICIES[name]
    cut = data.draw(st.integers(0, len(run.evaluations)), label="evaluations")
    before = run.evaluations[:cut]
    conductor, ledger = going_on(make, contents(before, []))
    made = decided(conductor)
    assert in_order(ledger.decisions) == in_order(made), "missing decisions are written"

    kept = made[: len(made) - data.draw(st.integers(0, min(1, len(made))), label="lost")]
    conductor, ledger = going_on(make, contents(before, kept))
    assert in_order(decided(conductor)) == in_order(made)
    assert in_order(kept + ledger.decisions) == in_order(made)
    assert ledger.evaluations == [], "nothing is written twice"

    work_off(conductor, measure_all)
    assert in_order(decided(conductor)) == in_order(run.decisions)
    again = {e.candidate.place: e.measurement for e in before + ledger.evaluations}
    assert again == {e.candidate.place: e.measurement for e in run.evaluations}
    assert len(before) + len(ledger.evaluations) == len(run.evaluations)


@pytest.mark.parametrize("name", POLICIES)
@given(data=st.data())
def test_a_ledger_with_holes_leads_to_the_same_end(name: str, data: st.DataObject) -> None:
    """Decisions may be there without their evaluations, and later ones without earlier ones."""
    run, make = RUNS[name], POLICIES[name]
    chance = random.Random(data.draw(st.integers(0, 1000)))
    share = data.draw(st.sampled_from([0.1, 0.5, 0.9]))
    some = [e for e in run.evaluations if chance.random() < share]
    conductor, ledger = going_on(make, contents(some, run.decisions))
    other = data.draw(st.sampled_from([measure_all, lambda topology, seed: complete(0.9)]))
    work_off(conductor, other)
    assert ledger.decisions == [], "they stand, whatever is measured again now"
    assert winners(decided(conductor)) == winners(run.decisions)
    places = {e.candidate.place for e in some + ledger.evaluations}
    assert places == {e.candidate.place for e in run.evaluations}


def winners(decisions: list[Decision]) -> list[Any]:
    """What the next round depends on, and the answer."""
    return [(d.search, d.round, d.topology, d.score, d.final) for d in in_order(decisions)]


def test_a_decision_has_to_follow_from_what_is_left() -> None:
    """Also where another of its evaluations is lost."""
    run = RUNS["shrink"]
    first = next(d for d in run.decisions if (d.search, d.round) == (0, 1))
    _, lost, changed = (line.index for line in first.ranking)
    known = contents(run.evaluations, [first])
    del known.evaluations[0, 1, lost]
    accept_all(going_on(shrink, known)[0], complete(0.5))
    old = known.evaluations[0, 1, changed]
    known.evaluations[0, 1, changed] = old.model_copy(update={"measurement": complete(0.99)})
    conductor, _ = going_on(shrink, known)
    with pytest.raises(LedgerError, match="does not follow from its evaluations"):
        accept_all(conductor, complete(0.5))


@each_policy
def test_replay_of_nothing_changes_nothing(make: MakePolicy) -> None:
    conductor, ledger = going_on(make, LedgerContents())
    assert decided(conductor) == ledger.evaluations == ledger.decisions == []


def test_what_the_ledger_has_of_other_searches_does_not_matter() -> None:
    """A trial that is a whole search replays its own part."""
    run = RUNS["shrink"]
    alone = Conductor({1: searches(shrink, 0, 1, evaluation_seed=0)[1]}, MemoryLedger())
    alone.replay(contents(run.evaluations, run.decisions))
    assert alone.finished
    assert decided(alone) == [d for d in in_order(run.decisions) if d.search == 1]


def test_a_failed_round_fails_again() -> None:
    ledger = MemoryLedger()
    with pytest.raises(RoundFailedError) as first:
        accept_all(Conductor(one_search(), ledger), failed("diverged"))
    with pytest.raises(RoundFailedError) as again:
        Conductor(one_search(), MemoryLedger()).replay(contents(ledger.evaluations, []))
    assert str(again.value) == str(first.value)


# Contradictions


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"candidate": {"topology": Topology(("x", "y"), ((0, 1),))}}]
)
def test_an_evaluation_of_another_configuration_is_refused(change: dict[str, Any]) -> None:
    first, *rest = (e for e in RUNS["shrink"].evaluations if e.candidate.place[:2] == (0, 1))
    if "candidate" in change:
        change = {"candidate": first.candidate.model_copy(update=change["candidate"])}
    wrong = first.model_copy(update=change)
    with pytest.raises(LedgerError) as caught:
        going_on(shrink, contents([wrong, *rest], []))
    message = str(caught.value)
    assert f"search 0, round 1, candidate {first.candidate.index}" in message
    assert "the ledger holds another topology or seed than the configuration gives" in message
    assert f"seed {wrong.seed}; expected {first.candidate.topology.key}" in message


@pytest.mark.parametrize("change", [{"winner": 99}, {"score": 5.0}, {"removed": (0, 99)}])
def test_a_decision_that_does_not_follow_is_refused(change: dict[str, Any]) -> None:
    run = RUNS["shrink"]
    first = next(d for d in run.decisions if (d.search, d.round) == (0, 1))
    wrong = first.model_copy(update=change)
    with pytest.raises(LedgerError, match=r"search 0, round 1: the ledger's decision \(winner"):
        going_on(shrink, contents(run.evaluations, [wrong]))


def test_another_seed_contradicts_the_ledger() -> None:
    other = MemoryLedger()
    by = searches(shrink, 7)
    work_off(Conductor(by, other), measure_all)
    with pytest.raises(LedgerError, match="another topology or seed"):
        Conductor(searches(shrink, 8), MemoryLedger()).replay(
            contents(other.evaluations, other.decisions)
        )
    expected = searches(shrink, 7)
    by_loop(expected, measure_all)
    assert by[0].policy.decisions == expected[0].policy.decisions
