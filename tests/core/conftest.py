"""A tiny run on real data."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoshrink_ray import SearchConfig


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage that fails is not asked again, unless a test says so."""
    monkeypatch.setattr("autoshrink_ray.storage.PATIENCE", 0.0)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def tiny(storage: Path) -> SearchConfig:
    """Three rounds or more of two candidates, on 80 digits."""
    return SearchConfig.of(
        {
            "space": "cnn",
            "data": "digits",
            "nodes": 4,
            "candidates": 2,
            "executor": "in-process",
            "tensorboard": "off",
            "storage": str(storage),
            "name": "tiny",
            "macro": {"stem_filters": 4, "base_width": 4, "scale": [1, 2], "pools": [1, 2]},
            "proxy": {
                "epochs": 1,
                "batch_size": 16,
                "train_per_class": 8,
                "valid_per_class": 4,
            },
        }
    )
