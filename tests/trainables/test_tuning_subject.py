"""Default ranges, and what is refused before a study starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray import plugins
from autoshrink_ray.errors import ConfigError, DataError
from search_spaces.build import build
from search_spaces.derive import derive
from search_spaces.network import NetworkFile, network_costs
from search_spaces.zoo import CELLS
from tests.trainables.data.files import encoded, random_pixels, write_parquet
from tests.trainables.tuning import SETTINGS, digits_network, small_config, text_network
from trainables.final.image_recipe import ImageRecipe
from trainables.final.tasks import full_task
from trainables.tuning.config import TuningConfig
from trainables.tuning.plan import TuningPlan
from trainables.tuning.space import Choice, Range, Span, as_range
from trainables.tuning.subject import Subject


def subject(network: NetworkFile, **changes: Any) -> Subject:
    return Subject(network, full_task(network.task).Recipe, network.recipe, changes)


def test_image_networks_are_varied_in_width_depth_rate_and_regularisation() -> None:
    ranges = subject(CELLS["shrink-cnn-a"].network).default_ranges()
    assert ranges["macro.channel_scale"] == Span(low=0.7, high=2.8, log=True)
    assert ranges["macro.replicate"] == Choice(
        values=((1, 2, 2, 3, 2), (1, 3, 4, 6, 4), (2, 6, 8, 12, 8))
    )
    assert ranges.keys() == {
        "macro.channel_scale",
        "macro.replicate",
        "recipe.learning_rate",
        "recipe.l2",
        "recipe.label_smoothing",
    }


def test_stages_of_one_cell_are_varied_too() -> None:
    network = digits_network(scale=(1, 2), pools=(1, 2), replicate=None)
    assert network.macro["replicate"] is None
    assert subject(network).default_ranges()["macro.replicate"] == Choice(values=((1, 1), (2, 2)))


def test_language_models_are_varied_in_size_rate_and_dropouts() -> None:
    ranges = subject(text_network(hidden_size=100)).default_ranges()
    assert ranges["macro.hidden_size"] == Span(low=50, high=150, log=True)
    dropouts = {key for key in ranges if "dropout" in key}
    assert dropouts == {f"macro.dropout_{n}" for n in ("embedding", "input", "hidden", "output")}
    assert {"recipe.learning_rate", "recipe.weight_decay"} < ranges.keys()


@pytest.mark.parametrize("network", [digits_network(), text_network(hidden_size=20)])
def test_default_ranges_hold_the_own_values_and_fit(network: NetworkFile) -> None:
    found = subject(network)
    own = found.settings()
    for key, chosen in found.fitted(found.default_ranges()).items():
        if isinstance(chosen, Span):
            assert chosen.low <= own[key] <= chosen.high


def test_a_setting_that_is_given_is_not_varied_by_itself() -> None:
    assert "recipe.l2" not in subject(digits_network(), l2=1e-3).default_ranges()


class WithoutDecay(ImageRecipe):
    l2: float = 0.0


def test_nothing_is_varied_around_zero() -> None:
    ranges = Subject(digits_network(), WithoutDecay, "imagenet").default_ranges()
    assert "recipe.l2" not in ranges
    assert "recipe.learning_rate" in ranges


_ONCE = "cannot be varied: the data are read once for all trials; --set sets it for all"


@pytest.mark.parametrize(
    ("key", "entry", "message"),
    [
        ("macro.colour", [1, 2], "unknown key 'macro.colour' to vary; choose from macro.stem"),
        ("channel_scale", [1, 2], "unknown key 'channel_scale'"),
        ("recipe.epochs", [1, 2], "recipe.epochs cannot be varied: --epochs"),
        *((f"recipe.{key}", [1, 2], _ONCE) for key in ("train_per_class", "valid_per_class")),
        *((f"recipe.{key}", [1, 2], _ONCE) for key in ("image_size", "shuffle_window")),
        *((f"recipe.{key}", [[0.4], [0.5]], _ONCE) for key in ("mean", "std")),
        ("recipe.stream", [True, False], _ONCE),
        ("recipe.max_bad_fraction", [0.0, 0.1], _ONCE),
        ("recipe.valid_batch_size", [1, 2], "cannot be varied: trials are measured alike"),
        ("macro.activation", {"low": 1, "high": 2}, "'relu' .* which is no number: give choices"),
        ("recipe.flip", {"low": 0, "high": 1}, "False .* which is no number"),
        ("macro.base_width", {"low": 1.5, "high": 2}, "whole number, got 1.5 to 2"),
        ("macro.channel_scale", {"low": 1, "high": 100}, "allow macro.channel_scale = 100.0: "),
        ("macro.channel_scale", {"low": -1, "high": 1}, "allow macro.channel_scale = -1.0: "),
        ("macro.activation", ["relu", "tanh"], "allow macro.activation = tanh: "),
        ("macro.replicate", [[1], [1, 1]], "one entry for each stage, got 1 of scale and 2"),
        ("recipe.label_smoothing", {"low": 0, "high": 1}, "allow recipe.label_smoothing = 1.0"),
    ],
)
def test_a_range_with_an_impossible_end_is_refused(key: str, entry: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        subject(digits_network()).fitted({key: as_range(key, entry)})


def test_ends_that_are_impossible_together_are_refused() -> None:
    ranges: dict[str, Range] = {
        "recipe.shortest_segment": Span(low=8, high=30),
        "recipe.bptt": Span(low=6, high=40),
    }
    with pytest.raises(ConfigError, match=r"all lowest values: .*at most bptt, got 8 and 6"):
        subject(text_network()).fitted(ranges)


def test_a_range_takes_kind_and_scale_from_its_setting() -> None:
    ranges: dict[str, Range] = {
        "macro.base_width": Span(low=4, high=8),
        "recipe.learning_rate": Span(low=0.1, high=1),
        "recipe.l2": Span(low=0, high=1e-3),
        "macro.channel_scale": Span(low=1, high=2, log=False),
    }
    assert subject(digits_network()).fitted(ranges) == {
        "macro.base_width": Span(low=4, high=8, whole=True, log=False),
        "recipe.learning_rate": Span(low=0.1, high=1, log=True),
        "recipe.l2": Span(low=0, high=1e-3, log=False),
        "macro.channel_scale": Span(low=1, high=2, log=False),
    }


@given(st.floats(0.5, 8), st.sampled_from([(1,), (3,)]), st.floats(1e-4, 0.5))
def test_a_variant_is_the_network_with_other_settings(
    scale: float, replicate: tuple[int, ...], rate: float
) -> None:
    base = digits_network()
    settings = {
        "macro.channel_scale": scale,
        "macro.replicate": list(replicate),
        "recipe.learning_rate": rate,
    }
    variant = subject(base).variant(settings)
    network = variant.network
    assert (network.topology, network.input) == (base.topology, base.input)
    assert network.macro == {
        **base.macro,
        "channel_scale": scale,
        "replicate": list(replicate),
    }
    assert network.costs == network_costs(
        plugins.space("cnn"), base.topology, network.macro, base.shape
    )
    assert variant.recipe.model_dump()["learning_rate"] == rate


def test_a_variants_costs_are_those_of_the_module() -> None:
    variant = subject(digits_network()).variant({"macro.channel_scale": 1.7})
    parameters = build(variant.network).parameters()
    assert sum(p.numel() for p in parameters) == variant.network.costs["params"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials: .*greater than or equal to 1, got 0"),
        ({"seed": -1}, "seed: "),
        ({"cpus_per_trial": 0}, "cpus_per_trial: "),
        ({"cpus_per_trial": 1.5}, "cpus_per_trial above 1 is a whole number"),
        ({"storage": "s3://key:secret@bucket"}, "storage is a URI without credentials"),
        ({"name": "../up"}, "name: "),
        ({"objective": "speed"}, "objective: "),
        ({"objective": "quality-macs", "grace_epochs": 1}, "grace_epochs belongs to objective q"),
        ({"objective": "quality-macs", "reduction_factor": 2}, "reduction_factor belongs to"),
        ({"population": 4}, "population belongs to objective quality-macs, got quality"),
        ({"reduction_factor": 1}, "reduction_factor: .*greater than or equal to 1.1"),
        ({"reduction_factor": 1e200}, "reduction_factor: .*less than or equal to 1000"),
        ({"reduction_factor": float("nan")}, "reduction_factor: "),
        ({"settings": {"learning_rate": 0.1}}, "recipe.learning_rate is varied and set"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        small_config(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranges": {}}, "there is nothing to vary"),
        ({"grace_epochs": 3}, "grace_epochs is at most the trials' 2 epochs, got 3"),
        ({"recipe": "ptb"}, "recipe 'ptb' is for text networks"),
        ({"settings": {"colour": 1}}, "unknown recipe setting colour"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    config = small_config(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message):
        TuningPlan.of(digits_network(), config).identity("data")


def test_identity_is_what_can_change_a_number(tmp_path: Path) -> None:
    def identity(**changes: Any) -> dict[str, Any]:
        plan = TuningPlan.of(digits_network(), small_config(tmp_path, **changes))
        return plan.identity("data")

    same: list[dict[str, Any]] = [
        {"trials": 9},
        {"max_concurrent": 1},
        {"name": "other"},
        {"address": "auto"},
        {"max_retries": 0},
        {"study_storage": "sqlite:///x.db"},
    ]
    others: list[dict[str, Any]] = [
        {"seed": 1},
        {"settings": {"epochs": 3}},
        {"settings": {"l2": 0.0}},
        {"cpus_per_trial": 2},
        {"gpus_per_trial": 1},
        {"objective": "quality-macs"},
        {"reduction_factor": 2},
        {"ranges": {"recipe.l2": Span(low=0, high=1)}},
    ]
    assert all(identity(**changes) == identity() for changes in same)
    assert all(identity(**changes) != identity() for changes in others)


def test_the_configuration_takes_ranges_as_plain_data() -> None:
    ranges = {"a": {"low": 1, "high": 2}, "b": {"values": ["x", "y"]}}
    config = TuningConfig.of({"trials": 1, "ranges": ranges})
    assert config.ranges == {"a": Span(low=1, high=2), "b": Choice(values=("x", "y"))}


def loaded(network: NetworkFile, tmp_path: Path, **changes: Any) -> Any:
    return TuningPlan.of(network, small_config(tmp_path, **changes)).load_data()


@pytest.mark.parametrize("entry", [{"low": 8, "high": 64}, [64, 8]])
def test_a_batch_that_the_images_do_not_fill_is_refused(tmp_path: Path, entry: Any) -> None:
    ranges = {"recipe.batch_size": as_range("k", entry)}
    message = "the ranges allow recipe.batch_size = 64: .*at least one batch.* got 40 images"
    with pytest.raises(ConfigError, match=message):
        loaded(digits_network(), tmp_path, ranges=ranges, settings={"batch_size": None})
    more = {"batch_size": None, "train_per_class": 7}
    assert loaded(digits_network(), tmp_path, ranges=ranges, settings=more)


def test_a_batch_that_the_text_does_not_fill_is_refused(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}.txt").write_text("a b c\n" * 10)
    network = derive(CELLS["shrink-rnn"].cell, "ptb", input={"vocabulary": 4})
    changes = {"data": f"text:{tmp_path}", "settings": dict.fromkeys(SETTINGS)}
    for high in (20, 21):
        ranges = {"recipe.batch_size": Span(low=2, high=high)}
        if high == 20:
            assert loaded(network, tmp_path, ranges=ranges, **changes)
            continue
        with pytest.raises(ConfigError, match=r"batch_size = 21: .*need 42 words, got 40"):
            loaded(network, tmp_path, ranges=ranges, **changes)
    with pytest.raises(DataError, match="64 columns need 128 words"):
        loaded(network, tmp_path, ranges={"recipe.clip": Span(low=0.1, high=1)}, **changes)


def test_images_that_are_streamed_are_refused(tmp_path: Path) -> None:
    labels = list(range(10)) * 2
    images = [encoded(random_pixels(8, 8, 1, seed=label)) for label in labels]
    for split in ("train", "valid"):
        write_parquet(tmp_path / f"{split}.parquet", images, labels)
    settings = {"train_per_class": None, "valid_per_class": None, "stream": True}
    changes: dict[str, Any] = {"data": f"parquet:{tmp_path}", "settings": settings}
    message = "20 images is read as a stream: give --set stream=false, or .*--train-per-class"
    with pytest.raises(ConfigError, match=message):
        loaded(digits_network(), tmp_path, **changes)
    settings["stream"] = False
    assert len(loaded(digits_network(), tmp_path, **changes).train) == 20
