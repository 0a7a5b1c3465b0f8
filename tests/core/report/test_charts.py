"""Axes, numbers and marks of charts."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.report.axes import Axis, nice_step
from autoshrink_ray.report.charts import Dot, Line, scatter, score_chart, strip
from autoshrink_ray.report.curves import MOST_DOTS, thinned
from autoshrink_ray.report.film import kept_cells
from autoshrink_ray.report.frame import HEIGHT, WIDTH
from autoshrink_ray.report.numbers import count, duration, hours, points, quality
from autoshrink_ray.wording import plural

VALUES = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20)
COUNTS = st.lists(st.integers(1, 10**15).map(float), min_size=1, max_size=20)


@given(VALUES)
def test_an_axis_holds_its_values_and_its_marks(values: list[float]) -> None:
    axis = Axis.of(values)
    assert all(0 <= axis.part(value) <= 1 for value in values)
    marks = axis.ticks()
    assert 1 <= len(marks) <= 8
    assert all(-1e-6 <= axis.part(mark) <= 1 + 1e-6 for mark in marks)


@given(COUNTS)
def test_an_axis_of_counts_keeps_their_order(values: list[float]) -> None:
    axis = Axis.of_counts(values)
    places = [axis.part(value) for value in sorted(values)]
    assert places == sorted(places)
    assert places[0] >= 0
    assert places[-1] <= 1
    assert len(axis.ticks()) <= 9


def test_counts_that_differ_much_are_on_a_logarithmic_axis() -> None:
    axis = Axis.of_counts([1e3, 1e5, 1e7])
    assert axis.log
    assert axis.part(1e5) == pytest.approx(0.5)
    assert not Axis.of_counts([1e6, 2e6]).log
    assert not Axis.of_counts([0, 2e6]).log


@given(st.floats(1e-12, 1e12))
def test_a_step_is_round_and_not_too_small(least: float) -> None:
    step = nice_step(least)
    assert least * (1 - 1e-6) <= step <= 5 * least * (1 + 1e-6)
    digit = step / 10.0 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(digit - nice) for nice in (1, 2, 5, 10)) < 1e-6


def numbers(svg: str, *names: str) -> list[float]:
    found = ElementTree.fromstring(svg).iter()
    return [float(e.get(name, "")) for e in found for name in names if e.get(name) is not None]


@given(VALUES)
def test_points_lie_in_the_chart(values: list[float]) -> None:
    dots = tuple(Dot(n, value, f"<{n}>", value == max(values)) for n, value in enumerate(values, 1))
    svg = score_chart("scores & more", [Line("a", dots)])
    assert all(0 <= x <= WIDTH for x in numbers(svg, "cx", "x", "x1", "x2"))
    assert all(0 <= y <= HEIGHT for y in numbers(svg, "cy", "y", "y1", "y2"))
    assert ElementTree.fromstring(svg).get("aria-label") == "scores & more"


@given(st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1)), min_size=1, max_size=10))
def test_tips_lie_in_the_chart(found: list[tuple[int, float]]) -> None:
    dots = [Dot(macs, quality, "accuracy 91.55 %, 117,376 MACs", True) for macs, quality in found]
    root = ElementTree.fromstring(scatter("front", dots, upwards="accuracy"))
    for box in root.iter("rect"):
        left, top = float(box.get("x", "")), float(box.get("y", ""))
        assert 0 <= left <= WIDTH - float(box.get("width", ""))
        assert 0 <= top <= HEIGHT - float(box.get("height", ""))


def test_a_strip_marks_the_winner() -> None:
    svg = strip("round 1", [0.9, 0.5, 0.1], 0.1, 0.9)
    circles = list(ElementTree.fromstring(svg).iter("circle"))
    assert [c.get("class") for c in circles] == ["rival", "rival", "winner"]
    places = [float(c.get("cx", "")) for c in circles]
    assert places == sorted(places)


@given(st.integers(0, 3 * MOST_DOTS), st.integers(0, 30))
def test_thinning_keeps_what_is_marked(others: int, marked: int) -> None:
    dots = [Dot(n, n, "", True) for n in range(marked)] + [Dot(n, n, "") for n in range(others)]
    kept = thinned(dots)
    assert sum(dot.mark for dot in kept) == marked
    assert len(kept) - marked <= MOST_DOTS
    assert others > MOST_DOTS or len(kept) == len(dots)


@given(st.integers(1, 200), st.integers(6, 80), st.data())
def test_a_film_keeps_first_best_and_last(cells: int, most: int, data: st.DataObject) -> None:
    best = data.draw(st.integers(0, cells - 1))
    kept = kept_cells(range(cells), best, most)
    assert {0, best, cells - 1} <= kept
    assert len(kept) <= most
    assert cells > most or len(kept) == cells


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (math.nan, "-"),
        (0, "0 s"),
        (0.001, "< 0.01 s"),
        (8.2712, "8.27 s"),
        (59.996, "60 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 00 min"),
        (18420, "5 h 07 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_numbers_as_people_read_them() -> None:
    assert (count(1234567.0), count(None)) == ("1,234,567", "-")
    assert (points(0.12345), points(math.inf), points(None)) == ("0.1235", "-", "-")
    assert quality("accuracy", 0.91549) == "91.55 %"
    assert quality("perplexity", 637.31) == "637.3"
    assert quality("other", None) == "-"
    assert (hours(0.02183), hours(1234.56)) == ("0.0218", "1,234.6")
    assert (plural(1, "search"), plural(1000, "search"), plural(2, "cell")) == (
        "1 search",
        "1,000 searches",
        "2 cells",
    )
