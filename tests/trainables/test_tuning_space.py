"""Ranges and choices, as they are written and as Optuna draws them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autoshrink_ray.errors import ConfigError
from trainables.tuning.space import Choice, Span, as_range, parse_variations, plain, read_space

scalars = st.one_of(
    st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.sampled_from(["relu", "swish", "1e-3x"])
)
values = st.one_of(scalars, st.none(), st.lists(st.integers(1, 9), min_size=1, max_size=3))


def labels(chosen: list[Any]) -> set[Any]:
    return set(Choice.model_construct(values=tuple(chosen)).labels)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("k=1:2", Span(low=1, high=2)),
        ("k=1e-4:0.1:log", Span(low=1e-4, high=0.1, log=True)),
        ("k=-1:2.5:linear", Span(low=-1, high=2.5, log=False)),
        ("k=relu,swish", Choice(values=("relu", "swish"))),
        ("k=1e-3,0.1", Choice(values=(1e-3, 0.1))),
        ("k=[1,1],[2,2]", Choice(values=([1, 1], [2, 2]))),
        ("k=[1e-3],null", Choice(values=([1e-3], None))),
    ],
)
def test_a_variation_is_read_as_it_is_written(text: str, expected: Any) -> None:
    assert parse_variations([text]) == {"k": expected}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k", "--vary is KEY=LOW:HIGH"),
        ("=1:2", "--vary is KEY=LOW:HIGH"),
        ("k=", "--vary is KEY=LOW:HIGH"),
        ("k=2:1", "k: low is below high, got 2 and 1"),
        ("k=1:1", "low is below high, got 1 and 1"),
        ("k=a:b", "k: low: .* got 'a'"),
        ("k=1:inf", "k: high: .*finite"),
        ("k=0:1:log", "a logarithmic range is above 0, got low 0"),
        ("k=1:2:cubic", "k: a range is LOW:HIGH.* got '1:2:cubic'"),
        ("k=relu", "k: values: .*at least 2"),
        ("k=1,1", "choices are different, got 1, 1"),
        ("k=[1", r"k: a range is LOW:HIGH.* got '\[1'"),
        ("k=2020-01-01,2021-01-01", "k: .*choices are numbers, texts, .* got 2020-01-01"),
        ("k=2020-13-45,1", "k: a range is LOW:HIGH.* got '2020-13-45,1'"),
    ],
)
def test_a_variation_without_meaning_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_variations([text])


def test_a_key_is_varied_once() -> None:
    with pytest.raises(ConfigError, match="each key once, got k twice"):
        parse_variations(["k=1:2", "k=3:4"])


def test_a_file_holds_ranges_and_choices(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("a: {low: 1e-3, high: 1, log: true}\nb: [relu, swish]\nc: [[1, 1], [2, 2]]\n")
    assert read_space(path) == {
        "a": Span(low=1e-3, high=1, log=True),
        "b": Choice(values=("relu", "swish")),
        "c": Choice(values=([1, 1], [2, 2])),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds a mapping of keys to ranges, got none"),
        ("a: 3", "a: a range is a list of choices, or low and high; got 3"),
        ("a: {low: 1}", "a: high: "),
        ("a: {low: 1, high: 2, step: 1}", "a: step: "),
        ("a: {low: 1, high: 2, whole: true}", "a: a range is low, high and log, got whole"),
        ("a: {low: 2020-01-01, high: 2021-01-01}", "a: low: "),
        ("a: [", "not valid YAML"),
        ("[1]", "holds a mapping"),
    ],
)
def test_a_file_without_meaning_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_space(path)


@given(st.lists(values, min_size=2, max_size=5).filter(lambda v: len(labels(v)) == len(v)))
def test_what_is_drawn_is_one_of_the_choices_and_storages_can_keep_it(chosen: list[Any]) -> None:
    choice = Choice(values=tuple(chosen))
    distribution = choice.distribution
    assert isinstance(distribution, CategoricalDistribution)
    for place, label in enumerate(choice.labels):
        assert choice.value(distribution.to_external_repr(place)) == chosen[place]
        assert type(choice.value(label)) is type(chosen[place])
    text = optuna.distributions.distribution_to_json(distribution)
    assert optuna.distributions.json_to_distribution(text) == distribution


@pytest.mark.parametrize(
    ("span", "distribution"),
    [
        (Span(low=0.5, high=2, log=True), FloatDistribution(0.5, 2, log=True)),
        (Span(low=0, high=2), FloatDistribution(0, 2)),
        (Span(low=1, high=8, whole=True), IntDistribution(1, 8)),
        (Span(low=1, high=8, log=True, whole=True), IntDistribution(1, 8, log=True)),
    ],
)
def test_a_range_is_drawn_as_it_says(span: Span, distribution: Any) -> None:
    assert span.distribution == distribution
    assert span.ends == (distribution.low, distribution.high)


def test_a_range_of_whole_numbers_has_whole_ends() -> None:
    with pytest.raises(ValueError, match=r"whole number, got 1\.5 to 3"):
        Span(low=1.5, high=3, whole=True)


def test_ranges_are_recorded_as_plain_data() -> None:
    ranges = {"b": as_range("b", [1, 2]), "a": as_range("a", {"low": 0, "high": 1})}
    assert plain(ranges) == {
        "a": {"low": 0.0, "high": 1.0, "log": None, "whole": False},
        "b": {"values": [1, 2]},
    }
