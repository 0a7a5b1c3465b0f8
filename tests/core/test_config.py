"""What a run can be told, what it refuses, and what of it decides the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.config import SearchConfig, merge, preset, preset_names, read_config
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.plan import Plan

# Rules


def test_defaults_are_the_published_search() -> None:
    config = SearchConfig()
    assert (config.space, config.algorithm, config.policy) == ("cnn", "shrink", "paper")
    assert config.candidates == 10


def test_an_unknown_key_is_refused_with_all_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        SearchConfig.of({"nodes": 4, "candidate": 3, 7: 1})
    message = str(caught.value)
    assert message.startswith("unknown configuration key candidate, 7; choose from address, algo")
    assert all(name in message for name in SearchConfig.model_fields)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("nodes", 1, "greater than or equal to 2"),
        ("nodes", 13, "less than or equal to 12"),
        ("nodes", "many", "valid integer"),
        ("nodes", 4.5, "valid integer"),
        ("candidates", 0, "greater than or equal to 1"),
        ("keep_fraction", 0, "greater than 0"),
        ("keep_fraction", 1, "less than 1"),
        ("keep_fraction", -0.1, "greater than 0"),
        ("keep_fraction", float("nan"), "less than 1"),
        ("cost_weight", -0.1, "greater than or equal to 0"),
        ("cost_weight", float("inf"), "finite"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**63, "less than 9223372036854775808"),
        ("evaluation_seed", -1, "greater than or equal to 0"),
        ("searches", 0, "greater than or equal to 1"),
        ("searches", 1000, "less than or equal to 999"),
        ("cpus_per_trial", 0, "greater than or equal to 0.0001"),
        ("cpus_per_trial", float("inf"), "finite"),
        ("cpus_per_trial", 1.5, "cpus_per_trial above 1 is a whole number, got 1.5"),
        ("gpus_per_trial", -1, "greater than or equal to 0"),
        ("gpus_per_trial", 2.5, "gpus_per_trial above 1 is a whole number, got 2.5"),
        ("max_concurrent", 0, "greater than or equal to 1"),
        ("max_retries", -1, "greater than or equal to 0"),
        ("algorithm", "evolution", "'shrink' or 'random'"),
        ("policy", "mine", "'paper'"),
        ("granularity", "round", "'candidate' or 'search'"),
        ("executor", "slurm", "'tune' or 'in-process'"),
        ("storage", "", "at least 1 character"),
        ("proxy", 3, "valid dictionary"),
        ("plugins", "mine", "valid tuple"),
    ],
)
def test_a_value_out_of_range_is_refused_with_rule_and_value(
    key: str, value: Any, rule: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        SearchConfig.of({key: value})
    message = str(caught.value)
    assert key in message
    assert rule in message
    assert str(value) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "name", ["", "a/b", "../up", ".hidden", "-dash", "with blank", "a" * 101, "a\n", "ä"]
)
def test_a_name_that_could_not_be_a_folder_everywhere(name: str) -> None:
    with pytest.raises(ConfigError, match="name: String should match pattern"):
        SearchConfig.of({"name": name})


@pytest.mark.parametrize("name", ["a", "run-1", "2024.01.01_b", "A" * 100])
def test_a_name_that_can_be_a_folder(name: str) -> None:
    assert SearchConfig.of({"name": name}).name == name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "random"}, "algorithm random needs a budget"),
        ({"algorithm": "random", "budget": 0}, "budget: Input should be greater than or equal"),
        (
            {"algorithm": "random", "budget": 5, "keep_fraction": 0.5},
            "keep_fraction belongs to algorithm shrink, got algorithm random",
        ),
        ({"cache": "x", "granularity": "search"}, "a cache needs granularity candidate"),
        ({"trial_timeout": 5, "executor": "in-process"}, "trial_timeout ends a trial's process"),
        ({"budget": 5}, "budget belongs to algorithm random, got algorithm shrink"),
    ],
)
def test_options_that_do_not_fit_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SearchConfig.of(settings)


def test_all_errors_come_at_once() -> None:
    with pytest.raises(ConfigError, match=r"nodes: .*got 1; candidates: .*got 0"):
        SearchConfig.of({"nodes": 1, "candidates": 0})


@pytest.mark.parametrize("resource", ["cpus_per_trial", "gpus_per_trial"])
@pytest.mark.parametrize("amount", [0.25, 1, 1.0, 2, 8.0])
def test_resources_are_fractions_of_one_or_whole(resource: str, amount: float) -> None:
    assert getattr(SearchConfig.of({resource: amount}), resource) == amount


# Layers


def test_later_layers_win_and_mappings_are_merged() -> None:
    below = {"nodes": 4, "proxy": {"epochs": 2, "batch_size": 8}, "plugins": ["a"]}
    above = {"seed": 1, "proxy": {"epochs": 5}, "plugins": ["b"]}
    assert merge(below, above, {}) == {
        "nodes": 4,
        "seed": 1,
        "proxy": {"epochs": 5, "batch_size": 8},
        "plugins": ["b"],
    }
    assert merge(below, {"proxy": None})["proxy"] is None
    assert below["proxy"] == {"epochs": 2, "batch_size": 8}, "layers are not changed"


leaves = st.none() | st.integers() | st.text(max_size=3)
layers = st.dictionaries(
    st.sampled_from("abc"), leaves | st.dictionaries(st.sampled_from("xy"), leaves)
)


@given(layers, layers, layers)
def test_merging_can_be_done_in_steps(one: Any, two: Any, three: Any) -> None:
    flat = merge(one, two, three)
    assert merge(merge(one, two), three) == flat
    assert merge(flat) == flat
    assert set(flat) == set(one) | set(two) | set(three)


def test_presets_are_listed() -> None:
    assert preset_names() == ["demo", "paper-cnn", "paper-rnn"]


@pytest.mark.parametrize("name", ["papr-cnn", "", "demo.yaml", "../config", "paper-cnn "])
def test_an_unknown_preset_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown preset .*demo, paper-cnn, paper-rnn"):
        preset(name)


@pytest.mark.parametrize("name", ["demo", "paper-cnn", "paper-rnn"])
def test_presets_hold_only_what_differs_from_the_defaults(name: str) -> None:
    settings = preset(name)
    space = settings.get("space", "cnn")
    assert Plan.of(SearchConfig.of(settings)).space.name == space
    defaults = Plan.of(SearchConfig(space=space)).config
    for key in settings.keys() - {"space", "proxy"}:
        assert settings[key] != getattr(defaults, key), key
    for key, value in settings.get("proxy", {}).items():
        assert value != defaults.proxy[key], key


def test_the_image_preset_is_the_published_search() -> None:
    plan = Plan.of(SearchConfig.from_preset("paper-cnn"))
    config = plan.config
    assert (config.nodes, config.candidates, config.keep_fraction) == (8, 10, 0.01)
    assert config.data == "cifar10"
    assert config.proxy["epochs"] == 20
    assert config.proxy["batch_size"] == 128
    assert config.proxy["learning_rate"] == 4e-3
    assert (config.proxy["train_per_class"], config.proxy["valid_per_class"]) == (500, 100)
    assert config.proxy["mean"] == [0.491, 0.482, 0.446]
    assert plan.objective.name == "accuracy"
    assert plan.objective.cost_weight == 0.1


def test_the_language_model_preset_is_the_published_search() -> None:
    plan = Plan.of(SearchConfig.from_preset("paper-rnn"))
    config = plan.config
    assert (config.nodes, config.candidates, config.keep_fraction) == (6, 10, 0.25)
    assert config.macro["hidden_size"] == 100
    assert config.proxy["epochs"] == 10
    assert plan.objective.name == "perplexity"
    assert plan.objective.cost_weight == 1.0


@pytest.mark.parametrize("space", ["cnn", "rnn"])
def test_the_demo_is_large_enough_to_show_something(space: str) -> None:
    plan = Plan.of(SearchConfig.from_preset("demo", space=space))
    assert plan.config.nodes is not None
    assert plan.config.nodes >= 5
    assert plan.config.candidates >= 3
    assert len(plan.initial(0).edges) - 4 >= round(0.25 * len(plan.initial(0).edges))


def test_changes_go_on_top_of_a_preset() -> None:
    config = SearchConfig.from_preset("demo", nodes=3, proxy={"batch_size": 16})
    assert config.nodes == 3
    assert config.proxy == preset("demo")["proxy"] | {"batch_size": 16}
    with pytest.raises(ConfigError, match="nodes"):
        SearchConfig.from_preset("demo", nodes=0)


# Files


def test_a_file_is_read_as_yaml(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("nodes: 4  # few\nproxy:\n  epochs: 1\n")
    assert read_config(path) == {"nodes": 4, "proxy": {"epochs": 1}}
    path.write_text("# nothing\n")
    assert read_config(path) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nodes: [", "is not valid YAML"),
        (b"nodes: 4\nnodes: !!python/object:os.system {}", "is not valid YAML"),
        (b"- nodes", "holds a mapping of settings, got list"),
        (b"nodes", "holds a mapping of settings, got str"),
        (b"\xff\xfe\xff", "cannot read the configuration file"),
        (b"created: 2024-99-99", "is not valid YAML"),
        (b"{" * 5000, "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read the configuration file"):
            read_config(path)
