from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from autoshrink_ray.errors import ConfigError
from trainables.batches import Jitter
from trainables.final.recipes import recipe, recipe_names
from trainables.final.text_recipe import TextRecipe


def test_ptb_is_the_papers_recipe() -> None:
    assert "ptb" in recipe_names()
    assert recipe(TextRecipe, "ptb", {}).model_dump() == {
        "epochs": 3000,
        "rollbacks": 10,
        "release": "best",
        "deterministic": True,
        "batch_size": 64,
        "valid_batch_size": 10,
        "test_batch_size": 1,
        "bptt": 35,
        "half_length_probability": 0.05,
        "bptt_jitter": 5.0,
        "shortest_segment": 5,
        "longest_extra": 20,
        "learning_rate": 20.0,
        "patience_to_average": 5,
        "weight_decay": 8e-7,
        "clip": 0.25,
        "temporal_regularisation": 1e-3,
        "embedding_range": 0.04,
    }


def test_segments_are_5_to_55_long() -> None:
    assert recipe(TextRecipe, "ptb", {}).jitter == Jitter(5.0, least=5, most=55)
    assert recipe(TextRecipe, "ptb", {"bptt": 70}).jitter == Jitter(5.0, least=5, most=90)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"valid_batch_size": 0},
        {"test_batch_size": 0},
        {"bptt": 0},
        {"bptt_jitter": -1},
        {"bptt_jitter": float("inf")},
        {"shortest_segment": 0},
        {"longest_extra": -1},
        {"half_length_probability": 1.5},
        {"learning_rate": 0},
        {"patience_to_average": -1},
        {"weight_decay": -1e-9},
        {"clip": 0},
        {"temporal_regularisation": float("nan")},
        {"embedding_range": 0},
        {"dropout": 0.5},
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    name = next(iter(setting))
    with pytest.raises(ValidationError, match=name):
        TextRecipe(**setting)
    with pytest.raises(ConfigError, match=name):
        recipe(TextRecipe, "ptb", setting)


def test_segments_have_to_be_able_to_be_bptt_long() -> None:
    with pytest.raises(ConfigError, match="shortest_segment is at most bptt, got 5 and 4"):
        recipe(TextRecipe, "ptb", {"bptt": 4})
