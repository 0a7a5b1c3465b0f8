"""What a trial does with its work, in this process."""

from __future__ import annotations

import pytest

from autoshrink_ray import SearchConfig, Topology
from autoshrink_ray.plan import Plan
from autoshrink_ray.records import Candidate, Evaluation
from autoshrink_ray.work import Task, Work
from autoshrink_ray.worker import SearchSession, Worker

CONFIG = SearchConfig.of(
    {
        "data": "digits",
        "nodes": 4,
        "candidates": 2,
        "macro": {"stem_filters": 4, "base_width": 4, "scale": [1], "pools": [1]},
        "proxy": {"epochs": 1, "batch_size": 16, "train_per_class": 4, "valid_per_class": 2},
    }
)


@pytest.fixture(scope="module")
def worker() -> Worker:
    plan = Plan.of(CONFIG)
    return Worker(plan.config.model_dump(mode="json"), plan.load_data())


def task(topology: Topology, seed: int = 1) -> Task:
    return Task(candidate=Candidate(search=0, round=1, index=0, topology=topology), seed=seed)


def test_isomorphic_cells_give_the_same_result_to_the_bit(worker: Worker) -> None:
    """A network is built from the canonical form, so a result can be reused exactly."""
    edges = ((0, 1), (0, 2), (1, 3), (2, 3))
    one = Topology(("sep3x3", "sep3x3", "conv1x1", "sep3x3"), edges)
    other = Topology(("conv1x1", "conv1x1", "sep3x3", "sep3x3"), edges)
    assert one.key == other.key
    results = [worker.measure(task(topology)).measurement for topology in (one, other, one)]
    assert results[0].status == "complete"
    assert results[0].metrics == results[1].metrics == results[2].metrics
    assert results[0].curve == results[1].curve
    another_seed = worker.measure(task(one, seed=2)).measurement
    assert another_seed.metrics["loss"] != results[0].metrics["loss"]


def test_an_outcome_says_where_and_when(worker: Worker) -> None:
    wanted = task(Topology(("conv1x1", "conv1x1"), ((0, 1),)))
    outcome = worker.measure(wanted)
    assert outcome.candidate == wanted.candidate
    assert outcome.node
    assert 0 < outcome.started <= outcome.ended
    assert outcome.measurement.device
    assert outcome.measurement.build
    assert not outcome.cached


def evaluations(worker: Worker, known: tuple[Evaluation, ...] = ()) -> list[Evaluation]:
    """What a session reports, as the driver would write it, `known` included."""
    session = SearchSession(worker, Work(search=0, known=known))
    search = worker.plan.searches()[0]
    found = list(known)
    while outcomes := session.step():
        found += [
            Evaluation(
                candidate=outcome.candidate,
                seed=search.seed_of(outcome.candidate),
                measurement=outcome.measurement.model_copy(update={"seconds": 0.0}),
                cached=outcome.cached,
            )
            for outcome in outcomes
        ]
    return found


def test_a_session_goes_on_from_wherever_it_was_cut_off(worker: Worker) -> None:
    whole = evaluations(worker)
    rounds = {evaluation.candidate.round for evaluation in whole}
    assert len(rounds) > 1
    for cut in range(len(whole)):
        assert evaluations(worker, tuple(whole[:cut])) == whole
    assert evaluations(worker, tuple(whole)) == whole


def test_a_session_reports_at_most_one_training_a_step(worker: Worker) -> None:
    """The driver has it in the ledger before the next one starts."""
    session = SearchSession(worker, Work(search=0))
    while outcomes := session.step():
        assert sum(not outcome.cached for outcome in outcomes) <= 1
