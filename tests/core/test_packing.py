"""How many trials a node holds, against a placement one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.packing import (
    Shape,
    advice,
    capacity,
    even_share,
    filling_cpus,
    idle_gpus,
    per_gpu,
)

UNIT = 10_000

fractions = st.integers(500, UNIT).map(lambda units: units / UNIT)
trials = st.builds(
    Shape,
    st.integers(1, 8 * UNIT).filter(lambda u: u >= 1000).map(lambda units: units / UNIT),
    st.one_of(fractions, st.integers(1, 4).map(float)),
)
nodes = st.builds(Shape, st.integers(0, 32).map(float), st.integers(0, 8).map(float))


def placed(trial: Shape, node: Shape) -> tuple[int, int]:
    """Trials that find a place one after the other, and GPUs that none of them took."""
    cpus = round(node.cpus * UNIT)
    gpus = [UNIT] * int(node.gpus)
    want = round(trial.gpus * UNIT)
    count = 0
    while cpus >= round(trial.cpus * UNIT):
        if want <= UNIT:  # the fullest GPU that still has room, as Ray does
            fitting = [number for number, free in enumerate(gpus) if free >= want]
            chosen = sorted(fitting, key=lambda number: gpus[number])[:1]
            takes = want
        else:
            chosen = [number for number, free in enumerate(gpus) if free == UNIT][: want // UNIT]
            takes = UNIT
        if len(chosen) * takes < want:
            break
        for number in chosen:
            gpus[number] -= takes
        cpus -= round(trial.cpus * UNIT)
        count += 1
    return count, sum(free == UNIT for free in gpus)


@given(trials, nodes)
def test_a_node_holds_what_can_be_placed_on_it_one_by_one(trial: Shape, node: Shape) -> None:
    assert (capacity(trial, node), idle_gpus(trial, node)) == placed(trial, node)


@given(trials, nodes)
def test_the_advised_cpus_fill_every_gpu_and_more_would_not(trial: Shape, node: Shape) -> None:
    by_gpus = capacity(Shape(1 / UNIT, trial.gpus), Shape(1e6, node.gpus))
    cpus = filling_cpus(trial, node)
    if not by_gpus or not cpus:
        return
    assert capacity(Shape(cpus, trial.gpus), node) == by_gpus
    assert capacity(Shape(cpus + 0.0101, trial.gpus), node) < by_gpus


@given(trials, nodes)
def test_advice_is_given_exactly_where_something_of_a_gpu_stays_unused(
    trial: Shape, node: Shape
) -> None:
    if not capacity(trial, node):
        assert advice(trial, node) == []
        return
    if trial.gpus < 1:
        possible = per_gpu(trial.gpus) * int(node.gpus)
        exact = trial.gpus == even_share(per_gpu(trial.gpus))
    else:
        possible = int(node.gpus / trial.gpus)
        exact = node.gpus % trial.gpus == 0
    full = capacity(trial, node) == possible
    assert len(advice(trial, node)) == (not full) + (not exact)


@pytest.mark.parametrize(
    ("trial", "node", "fitting"),
    [
        (Shape(1, 0.25), Shape(16, 4), 16),
        (Shape(1, 0.4), Shape(16, 2), 4),  # not 5: a fraction comes from one GPU
        (Shape(1, 1 / 3), Shape(16, 1), 3),
        (Shape(0.1, 0), Shape(0.3, 0), 3),  # 0.3 / 0.1 is 2.99... in floats
        (Shape(1, 2), Shape(16, 5), 2),
        (Shape(1, 0.5), Shape(16, 0), 0),
        (Shape(0, 0.5), Shape(0, 1), 2),
        (Shape(4, 0), Shape(0, 8), 0),
    ],
)
def test_how_many_fit(trial: Shape, node: Shape, fitting: int) -> None:
    assert capacity(trial, node) == fitting


def test_too_few_cpus_are_named_with_the_number_that_fills_the_node() -> None:
    (text,) = advice(Shape(1, 0.25), Shape(8, 4))
    assert "2 of its 4 GPUs idle: --cpus-per-trial 0.5 would fill it" in text


def test_a_share_that_leaves_a_rest_is_named_with_the_one_that_does_not() -> None:
    (text,) = advice(Shape(1, 0.4), Shape(8, 4))
    assert "--gpus-per-trial 0.5" in text


def test_a_trial_that_takes_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 of both"):
        capacity(Shape(0, 0), Shape(1, 1))
