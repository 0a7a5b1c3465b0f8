"""Small networks and studies for the tests of tuning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search_spaces.derive import derive
from search_spaces.network import NetworkFile
from search_spaces.zoo import CELLS
from trainables.tuning.config import TuningConfig

SETTINGS = {
    "epochs": 2,
    "warmup_epochs": 0,
    "batch_size": 16,
    "train_per_class": 4,
    "valid_per_class": 4,
}
"""A recipe for digits that trains a moment."""

RANGES = {
    "macro.channel_scale": {"low": 0.5, "high": 2, "log": True},
    "recipe.learning_rate": {"low": 0.01, "high": 0.4, "log": True},
}


def digits_network(**macro: Any) -> NetworkFile:
    small = {"scale": (1,), "pools": (2,), "replicate": (1,), "base_width": 4, "stem_filters": 4}
    return derive(CELLS["shrink-cnn-a"].cell, "digits", macro=small | macro)


def text_network(**macro: Any) -> NetworkFile:
    return derive(CELLS["shrink-rnn"].cell, "ptb", macro=macro, input={"vocabulary": 30})


def small_config(tmp_path: Path, **changes: Any) -> TuningConfig:
    """Three trials of two epochs each, two settings varied; a setting that is None is left out."""
    settings = {**SETTINGS, **changes.pop("settings", {})}
    return TuningConfig.of(
        {
            "trials": 3,
            "data": "digits",
            "ranges": RANGES,
            "defaults": False,
            "max_concurrent": 1,
            "settings": {key: value for key, value in settings.items() if value is not None},
            "storage": str(tmp_path / "runs"),
            "name": "study",
        }
        | changes
    )


def ids(count: int) -> Iterator[str]:
    """Names as Tune gives them to trials."""
    return (f"trial-{number}" for number in range(count))
