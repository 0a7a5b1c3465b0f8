"""Facts validate themselves and survive JSON unchanged."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autoshrink_ray.records import Candidate, Decision, Evaluation, Measurement, Ranked
from autoshrink_ray.topology import Topology
from tests.contracts.scoring import complete, failed, out_of_memory
from tests.strategies import topologies

CELL = Topology(("a", "b"), ((0, 1),))
CANDIDATE = Candidate(search=0, round=1, index=0, topology=CELL)

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=20)
counts = st.integers(0, 2**63 - 1)
cells = topologies(("a", "b"))
edges = st.none() | st.tuples(st.integers(0, 5), st.integers(6, 11))
candidates = st.builds(
    Candidate,
    search=st.integers(0, 99),
    round=st.integers(1, 99),
    index=counts,
    topology=cells,
    removed=edges,
)
measurements = st.builds(
    Measurement,
    status=st.just("complete"),
    metrics=st.dictionaries(names, finite, min_size=1),
    curve=st.lists(st.floats()).map(tuple),
    epochs=counts,
    stop_reason=names,
    seconds=st.floats(0, 1e9),
    device=names,
    build=names,
) | st.builds(failed, st.text(min_size=1))
evaluations = st.builds(
    Evaluation,
    candidate=candidates,
    seed=counts,
    measurement=measurements,
    cached=st.booleans(),
    attempts=counts,
    lost_seconds=st.floats(0, 1e9),
    node=names,
    queued=finite,
    started=finite,
    ended=finite,
)
decisions = st.builds(
    Decision,
    search=counts,
    round=st.integers(1, 99),
    parent=st.none() | cells,
    removed=edges,
    winner=counts,
    topology=cells,
    score=finite,
    metrics=st.dictionaries(names, finite),
    ranking=st.lists(st.builds(Ranked, index=counts, score=finite)).map(tuple),
    failed=st.lists(counts).map(tuple),
    final=st.booleans(),
)


@given(evaluations)
def test_evaluations_survive_json_to_the_bit(evaluation: Evaluation) -> None:
    """A curve may hold NaN, which equals nothing: compare what is written."""
    text = evaluation.model_dump_json()
    again = Evaluation.model_validate_json(text)
    assert again.model_dump_json() == text
    assert again.candidate == evaluation.candidate
    assert again.measurement.metrics == evaluation.measurement.metrics
    assert list(map(math.isfinite, again.measurement.curve)) == list(
        map(math.isfinite, evaluation.measurement.curve)
    )


@given(decisions)
def test_decisions_survive_json_to_the_bit(decision: Decision) -> None:
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_complete_results_are_finite(value: float) -> None:
    with pytest.raises(ValidationError, match=f"finite, got accuracy = {value}"):
        Measurement(status="complete", metrics={"macs": 1.0, "accuracy": value})


def test_complete_results_have_metrics() -> None:
    with pytest.raises(ValidationError, match="a complete measurement has metrics, got none"):
        Measurement(status="complete")


@pytest.mark.parametrize("status", ["failed", "out_of_memory"])
def test_other_results_have_a_reason(status: Any) -> None:
    with pytest.raises(ValidationError, match=f"status '{status}' has a reason, got none"):
        Measurement(status=status)


def test_running_out_of_memory_is_no_evaluation_yet() -> None:
    with pytest.raises(ValidationError, match="complete or failed, got 'out_of_memory'"):
        Evaluation(candidate=CANDIDATE, seed=0, measurement=out_of_memory())


def test_only_complete_evaluations_can_be_ranked() -> None:
    assert Evaluation(candidate=CANDIDATE, seed=0, measurement=complete(0.5)).complete
    assert not Evaluation(candidate=CANDIDATE, seed=0, measurement=failed()).complete


@pytest.mark.parametrize(
    "change", [{"search": -1}, {"round": 0}, {"index": -1}, {"removed": (0,)}, {"colour": "red"}]
)
def test_candidates_refuse_what_cannot_be(change: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"search": 0, "round": 1, "index": 0, "topology": CELL}
    with pytest.raises(ValidationError):
        Candidate(**settings | change)


@pytest.mark.parametrize(
    "change", [{"status": "ok"}, {"epochs": -1}, {"seconds": -1}, {"loss": 0.1}]
)
def test_measurements_refuse_what_cannot_be(change: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"status": "failed", "reason": "diverged"}
    with pytest.raises(ValidationError):
        Measurement(**settings | change)


def test_records_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CANDIDATE.index = 3  # type: ignore[misc]


def test_a_candidates_place_names_it_within_the_run() -> None:
    assert Candidate(search=2, round=3, index=4, topology=CELL).place == (2, 3, 4)
