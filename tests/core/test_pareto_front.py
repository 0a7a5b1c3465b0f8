"""The front of quality against cost."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.objective import pareto_front

Point = tuple[float, float]

few = st.sampled_from([0.0, 1.0, 2.0, 3.0, -1.0, math.nan, math.inf, -math.inf])
any_number = st.one_of(few, st.floats())
points = st.lists(st.tuples(any_number, any_number), max_size=12)


def beats(one: Point, other: Point) -> bool:
    no_worse = one[0] >= other[0] and one[1] <= other[1]
    return no_worse and one != other


def slow_front(all_points: list[Point]) -> set[int]:
    finite = {i for i, point in enumerate(all_points) if all(map(math.isfinite, point))}
    return {
        i for i in finite if not any(beats(all_points[other], all_points[i]) for other in finite)
    }


@given(points)
def test_the_front_is_what_nothing_beats(all_points: list[Point]) -> None:
    front = pareto_front(all_points)
    assert set(front) == slow_front(all_points)
    assert len(front) == len(set(front))


@given(points)
def test_the_front_goes_from_cheap_and_bad_to_dear_and_good(all_points: list[Point]) -> None:
    found = [all_points[place] for place in pareto_front(all_points)]
    assert found == sorted(found, key=lambda point: (point[1], point[0]))
    assert found == sorted(found)


def test_nothing_has_no_front() -> None:
    assert pareto_front([]) == []
