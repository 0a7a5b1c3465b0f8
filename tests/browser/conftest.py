"""A run to look at."""

from __future__ import annotations

import pytest

from autoshrink_ray import Run, SearchConfig, run_search

SETTINGS = {
    "space": "cnn",
    "data": "digits",
    "nodes": 4,
    "candidates": 3,
    "executor": "in-process",
    "macro": {"stem_filters": 4, "base_width": 4, "scale": [1, 2], "pools": [1, 2]},
    "proxy": {"epochs": 3, "batch_size": 16, "train_per_class": 8, "valid_per_class": 4},
}
"""A few rounds of three candidates each, on 80 digits."""


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    storage = tmp_path_factory.mktemp("browser")
    return run_search(SearchConfig.of(SETTINGS), storage=str(storage), name="seen")
