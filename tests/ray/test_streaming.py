"""Images that Ray Data streams from a real table into real Ray Train workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import ray.train
from ray.train.torch import TorchTrainer

from tests.trainables.data.files import encoded, write_parquet
from tests.trainables.final.image_support import (
    compute,
    identical,
    loaded,
    network_file,
    through_files,
)
from trainables.final.contracts import Setup, World
from trainables.final.image import IMAGE_TASK
from trainables.final.image_recipe import ImageRecipe
from trainables.final.inputs.orders import training_orders

pytestmark = [
    pytest.mark.ray,
    # Ray Data sets its own deprecated settings whenever it starts.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),
]

ROWS, BAD = 61, 5
RECIPE = ImageRecipe(
    epochs=2,
    warmup_epochs=1,
    batch_size=8,
    valid_batch_size=7,
    learning_rate=1.0,
    crop=1.0,
    stream=True,
    shuffle_window=16,
    max_bad_fraction=0.02,
)
NETWORK = network_file(classes=2)

Epoch = list[list[tuple[int, int]]]
"""Position and label of each image of each batch."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table whose image n has pixels of value n, the last row groups small, one image bad."""
    root = tmp_path_factory.mktemp("table")
    images = [encoded(np.full((6, 6, 1), row, np.uint8)) for row in range(ROWS)]
    images[BAD] = b"broken"
    labels = [row % 2 for row in range(ROWS)]
    write_parquet(root / "train.parquet", images, labels)  # row groups of 3
    write_parquet(root / "valid.parquet", images[10:30], labels[10:30])
    return root


def work(config: dict[str, Any]) -> None:
    """What one worker sees and computes, written as JSON."""
    context = ray.train.get_context()
    world = World(context.get_world_rank(), context.get_world_size())
    setup = Setup(NETWORK, RECIPE, ray.get(config["data"]), compute(), world)

    def epoch(number: int, attempt: int = 0) -> Epoch:
        orders = training_orders(setup.data.train, RECIPE, setup.seed, number, attempt, world)
        return [[(item.position, item.label) for item in order.items] for order in orders]

    undisturbed, second = (IMAGE_TASK.training(setup) for _ in range(2))
    metrics = [undisturbed.run_epoch(0)]
    second.restore(through_files(undisturbed.state()))
    metrics.append(undisturbed.run_epoch(0))
    seen = {
        "metrics": metrics,
        "again": second.run_epoch(0),
        "same": identical(undisturbed.weights(), second.weights()),
        "epochs": [epoch(1), epoch(1), epoch(2), epoch(1, attempt=1)],
    }
    Path(config["folder"], f"{world.rank}.json").write_text(json.dumps(seen))


def run(folder: Path, output: Path, workers: int) -> list[dict[str, Any]]:
    """What each worker saw."""
    data = loaded(f"parquet:{folder}", NETWORK, RECIPE)
    TorchTrainer(
        work,
        train_loop_config={"data": ray.put(data), "folder": str(output)},
        scaling_config=ray.train.ScalingConfig(num_workers=workers),
        run_config=ray.train.RunConfig(storage_path=str(output / "ray"), name="streaming"),
        datasets=data.ray_datasets(),
    ).fit()
    return [json.loads((output / f"{rank}.json").read_text()) for rank in range(workers)]


def rows(epoch: Epoch) -> list[int]:
    return [position for batch in epoch for position, _ in batch]


def check_epochs(epochs: list[Epoch], batches: int, size: int) -> None:
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == [size] * batches
        assert len(set(rows(epoch))) == len(rows(epoch))
        assert all(label == position % 2 for batch in epoch for position, label in batch)
    first, again, second, other_attempt = epochs
    assert first == again
    assert rows(first) != sorted(rows(first))
    assert rows(first) != rows(second)
    assert rows(first) != rows(other_attempt)


@pytest.mark.usefixtures("cluster")
def test_two_workers_train_on_a_stream(folder: Path, tmp_path: Path) -> None:
    seen = run(folder, tmp_path, workers=2)
    size = RECIPE.batch_size // 2
    for each in seen:
        check_epochs(each["epochs"], ROWS // 2 // size, size)
        assert each["same"]
        assert each["metrics"][1] == each["again"]
        assert each["metrics"] == seen[0]["metrics"]
        assert all(np.isfinite(metrics["loss"]) for metrics in each["metrics"])
    for together in zip(*(each["epochs"] for each in seen), strict=True):
        shown = [row for epoch in together for row in rows(epoch)]
        assert len(set(shown)) == len(shown)
