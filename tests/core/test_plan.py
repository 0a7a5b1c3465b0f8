"""What a configuration means, and what of it decides the numbers."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray import Evaluation, Measurement
from autoshrink_ray.config import EXECUTION, SearchConfig
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.plan import Plan, most_candidates
from autoshrink_ray.policies import RandomPolicy, ShrinkPolicy
from autoshrink_ray.seeds import derive_seed

# The plan


def test_the_plan_fills_in_every_default_of_the_space() -> None:
    config = Plan.of(SearchConfig(space="rnn")).config
    assert config.space == "search_spaces.rnn:SPACE"
    assert (config.nodes, config.keep_fraction, config.data) == (6, 0.25, "pydoc")
    assert config.macro["hidden_size"] == 100
    assert config.proxy["batch_size"] == 128
    assert Plan.of(config).config == config, "a worker comes to the same plan"
    plain = config.model_dump(mode="json")
    assert Plan.of(SearchConfig.of(plain)).config == config
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"space": "gan"},
            "unknown search space 'gan'; choose one of cnn, .*rnn.*, or give",
        ),
        ({"space": "nowhere.at:all"}, "a plug-in is an importable module, got 'nowhere.at'"),
        ({"space": "search_spaces.cnn:NOPE"}, "has no attribute 'NOPE'"),
        ({"space": "search_spaces.cnn:Cell"}, "is no search space"),
        ({"space": ".cnn:SPACE"}, "a plug-in is an importable module"),
        ({"plugins": ["no_such_module"]}, "a plug-in is an importable module, got 'no_such_mod"),
        ({"plugins": [""]}, "a plug-in is an importable module .* got ''"),
        ({"plugins": ["..up"]}, r"a plug-in is an importable module .* got '\.\.up'"),
        (
            {"macro": {"width": 3}},
            "unknown macro setting width; choose from activation, base_width",
        ),
        ({"macro": {"base_width": 0}}, "macro: base_width: .*, got 0"),
        ({"proxy": {"epoch": 3}}, "unknown proxy setting epoch; choose from .*epochs"),
        ({"proxy": {"epochs": 0}}, "proxy: epochs: .*, got 0"),
    ],
)
def test_names_and_settings_that_the_plan_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Plan.of(SearchConfig.of(settings))


def test_unknown_data_are_refused_with_the_choices() -> None:
    plan = Plan.of(SearchConfig(data="imagenet:somewhere"))
    with pytest.raises(ConfigError, match=r"unknown data set 'imagenet'; choose one of cifar10, d"):
        plan.load_data()


def test_search_zero_of_many_is_a_single_search() -> None:
    many = Plan.of(SearchConfig(seed=3, searches=3)).searches()
    for number, search in enumerate(many):
        (single,) = Plan.of(SearchConfig(seed=3 + number)).searches()
        ours, alone = search.policy.propose(), single.policy.propose()
        assert [c.topology for c in ours] == [c.topology for c in alone]
        assert search.evaluation_seed == single.evaluation_seed == 3 + number
        assert {c.search for c in ours} == {number}


def test_searches_may_share_an_evaluation_seed() -> None:
    plan = Plan.of(SearchConfig(seed=3, searches=3, evaluation_seed=0))
    assert [search.evaluation_seed for search in plan.searches()] == [0, 0, 0]


def test_each_algorithm_has_its_policy() -> None:
    (shrink,) = Plan.of(SearchConfig(nodes=4, candidates=3)).searches()
    assert isinstance(shrink.policy, ShrinkPolicy)
    assert len(shrink.policy.propose()) == 3
    (random,) = Plan.of(SearchConfig(nodes=4, algorithm="random", budget=5)).searches()
    assert isinstance(random.policy, RandomPolicy)
    assert len(random.policy.propose()) == 5


@pytest.mark.parametrize(("cpus", "threads"), [(0.25, 1), (1, 1), (4, 4)])
def test_a_trial_has_a_thread_for_each_cpu(cpus: float, threads: int) -> None:
    assert Plan.of(SearchConfig(cpus_per_trial=cpus)).threads == threads


# Identity


def identity(fingerprint: str = "f", **settings: Any) -> dict[str, Any]:
    return Plan.of(SearchConfig.of(settings)).identity(fingerprint)


EXECUTION_CHANGES: dict[str, Any] = {
    "address": "10.0.0.1:6379",
    "cache": "/somewhere/cache",
    "data": "parquet:elsewhere",
    "executor": "in-process",
    "granularity": "search",
    "max_concurrent": 2,
    "max_node_losses": 0,
    "max_retries": 0,
    "name": "mine",
    "plugins": ["tests.plugins.table"],
    "storage": "/somewhere/else",
    "tensorboard": "off",
    "trial_timeout": 5,
}

IDENTITY_CHANGES: dict[str, Any] = {
    "space": "rnn",
    "nodes": 5,
    "candidates": 3,
    "keep_fraction": 0.5,
    "cost_weight": 0.2,
    "seed": 1,
    "evaluation_seed": 1,
    "searches": 2,
    "macro": {"base_width": 8},
    "proxy": {"epochs": 3},
    "cpus_per_trial": 2,
    "gpus_per_trial": 1,
}


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({}, "full"),
        ({"searches": 2}, "summary"),
        ({"searches": 2, "tensorboard": "full"}, "full"),
        ({"tensorboard": "off"}, "off"),
        ({"algorithm": "random", "budget": 300}, "full"),
        ({"algorithm": "random", "budget": 301}, "summary"),
        ({"nodes": 2}, "full"),
    ],
)
def test_up_to_300_candidates_tensorboard_shows_each(settings: dict[str, Any], mode: str) -> None:
    assert Plan.of(SearchConfig.of(settings)).config.tensorboard == mode


@given(st.integers(2, 6), st.integers(1, 20), st.sampled_from([0.01, 0.25, 0.6]))
def test_a_search_never_has_more_candidates_than_it_may(
    nodes: int, candidates: int, keep: float
) -> None:
    settings = {"nodes": nodes, "candidates": candidates, "keep_fraction": keep}
    plan = Plan.of(SearchConfig.of(settings))
    policy, count = plan.searches()[0].policy, 0
    while not policy.finished:
        for candidate in policy.propose():
            accuracy = derive_seed(candidate.index, candidate.topology.key) % 1000 / 1000
            metrics = {"accuracy": accuracy, "macs": 10.0}
            measurement = Measurement(status="complete", metrics=metrics)
            policy.record(Evaluation(candidate=candidate, seed=0, measurement=measurement))
            count += 1
        policy.decide()
    assert count <= most_candidates(plan.config)


def test_every_setting_is_either_identity_or_execution() -> None:
    """`algorithm` and `budget` change together, `policy` has one value."""
    tested = EXECUTION_CHANGES.keys() | IDENTITY_CHANGES.keys()
    assert SearchConfig.model_fields.keys() - tested == {"algorithm", "budget", "policy"}
    assert EXECUTION_CHANGES.keys() == EXECUTION


@pytest.mark.parametrize("key", EXECUTION_CHANGES)
def test_execution_settings_are_not_part_of_the_identity(key: str) -> None:
    assert identity(**{key: EXECUTION_CHANGES[key]}) == identity()


@pytest.mark.parametrize("key", IDENTITY_CHANGES)
def test_all_other_settings_are_part_of_the_identity(key: str) -> None:
    assert identity(**{key: IDENTITY_CHANGES[key]}) != identity()


def test_the_algorithm_the_policy_and_the_data_are_part_of_the_identity() -> None:
    assert identity(algorithm="random", budget=5) != identity()
    assert identity(algorithm="random", budget=5) != identity(algorithm="random", budget=6)
    assert identity()["policy"] == "paper"
    assert identity("other data") != identity()


def test_what_is_said_differently_but_means_the_same_is_one_identity() -> None:
    said = identity(
        space="search_spaces.cnn:SPACE",
        nodes=8,
        keep_fraction=0.01,
        cost_weight=0.1,
        macro={"stem_filters": 32},
        proxy={"epochs": 20, "data_dir": "/data"},
        cpus_per_trial=0.5,
    )
    assert said == identity()
    assert identity(gpus_per_trial=0.25) == identity(gpus_per_trial=1)


def test_the_identity_is_plain_data() -> None:
    plain = identity(macro={"scale": [1.0, 2.0], "pools": [1, 2]})
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
