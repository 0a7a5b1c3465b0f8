"""What a number of workers costs, and which one is recommended."""

from __future__ import annotations

import pytest

from autoshrink_ray.forecast import Simulated, recommended, rows
from autoshrink_ray.forecast.words import advice, duration
from autoshrink_ray.packing import Shape, gpus_for


def ran(wall: float, busy: float) -> Simulated:
    return Simulated(wall, busy, trainings=1, evaluations=1, most_at_once=1, decisions=())


def test_a_row_is_the_median_of_its_draws() -> None:
    draws = {2: [ran(3600, 3600), ran(7200, 7200), ran(14400, 7200)]}
    (row,) = rows(draws, gpus=1, price=3.0)
    assert (row.wall, row.least, row.most) == (7200, 3600, 14400)
    assert row.utilisation == 0.5
    assert (row.busy_hours, row.paid_hours, row.cost) == (2, 4, 12)


def test_without_gpus_or_a_price_there_is_no_cost() -> None:
    (row,) = rows({4: [ran(10, 20)]}, gpus=0)
    assert (row.paid_hours, row.busy_hours, row.cost) == (0, 0, None)


@pytest.mark.parametrize(
    ("workers", "gpus", "whole"),
    [(1, 0.25, 1), (4, 0.25, 1), (5, 0.25, 2), (3, 0.4, 2), (10, 0.1, 1), (3, 2, 6), (9, 0, 0)],
)
def test_a_shared_gpu_is_paid_whole(workers: int, gpus: float, whole: int) -> None:
    assert gpus_for(workers, Shape(0, gpus)) == whole


def test_most_workers_that_train_half_of_the_time_are_recommended() -> None:
    found = rows({1: [ran(8, 8)], 4: [ran(4, 8)], 8: [ran(3, 8)]}, gpus=0)
    assert recommended(found).workers == 4
    assert "4 workers, the most of these that train at least 50%" in advice(found[1], 6)[0]
    assert "More than 6 workers" in advice(found[1], 6)[1]


def test_where_none_does_it_is_the_fewest() -> None:
    found = rows({2: [ran(100, 8)], 4: [ran(90, 8)]}, gpus=0)
    assert recommended(found).workers == 2
    assert "the fewest of these, and even they do not train" in advice(found[0], 3)[0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45.0 s"), (720, "12.0 min"), (12240, "3.4 h"), (216000, "2.5 d")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
