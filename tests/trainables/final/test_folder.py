"""The folder of a training is read as it was written, damaged files are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from autoshrink_ray.errors import FileFormatError, StorageError
from autoshrink_ray.ledger import End
from autoshrink_ray.storage import Folder
from tests.trainables.final.regression import Notes, Regression
from tests.trainables.final.text_support import network_file
from trainables.final.checkpoints import Checkpoints
from trainables.final.folder import TrainFile, TrainingRun, list_trainings, write_history
from trainables.final.loop import Rules, TrainingLoop
from trainables.final.weights import WeightsCard, write_weights


def train_file(**changes: Any) -> TrainFile:
    fields: dict[str, Any] = {
        "name": "night",
        "created": "2026-01-01T00:00:00+00:00",
        "identity": {"seed": 1, "recipe": {"epochs": 3}},
        "config": {"data": "digits"},
        "quality": "accuracy",
        "data_summary": "a few",
        "versions": {"python": "3.11"},
    }
    return TrainFile(**fields | changes)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A training that was killed after three epochs."""
    folder = Folder(str(tmp_path / "runs" / "night"))
    folder.write("network.json", network_file().to_json())
    train_file().write(folder)
    checkpoints = Checkpoints(folder.child("checkpoints"), "accuracy")
    TrainingLoop(lambda: Regression(3), checkpoints, Rules(), Notes()).run()
    return folder


def test_train_yaml_comes_back(folder: Folder) -> None:
    file = train_file(end=End(status="failed", message="no [luck]"))
    file.write(folder)
    assert TrainFile.read(folder) == file


@pytest.mark.parametrize(
    ("status", "message"), [("finished", ""), ("failed", "why"), ("interrupted", "SIGINT")]
)
def test_the_status_says_how_it_ended(folder: Folder, status: Any, message: str) -> None:
    run = TrainingRun(folder.location)
    assert (run.status, run.message) == ("open", "")
    train_file(end=End(status=status, message=message)).write(folder)
    assert (run.status, run.message) == ("open", ""), "an object is a snapshot"
    run = TrainingRun(folder.location)
    assert (run.status, run.message) == (status, message)


def test_an_open_training_shows_its_epochs_and_network(folder: Folder) -> None:
    run = TrainingRun(folder.location)
    assert [record["epoch"] for record in run.history] == [1, 2, 3]
    assert run.network == network_file()
    with pytest.raises(StorageError, match="'night' is open and has no weights yet"):
        _ = run.weights


def test_the_history_is_a_table_and_comes_back(folder: Folder, tmp_path: Path) -> None:
    history = TrainingRun(folder.location).history
    write_history(folder, history)
    table = pq.read_table(tmp_path / "runs" / "night" / "history.parquet")
    assert table.column_names[:3] == ["epoch", "attempt", "seconds"]
    assert table["epoch"].to_pylist() == [1, 2, 3]
    assert str(table.schema.field("epoch").type) == "int32"
    for manifest in folder.child("checkpoints").files():
        folder.child("checkpoints").remove(manifest)
    assert TrainingRun(folder.location).history == history


def test_a_metric_that_some_epochs_lack_is_null_there(folder: Folder) -> None:
    history = [{"epoch": 1, "attempt": 0}, {"epoch": 2, "attempt": 0, "later": 0.5}]
    write_history(folder, [dict(record) for record in history])
    assert TrainingRun(folder.location).history == history


def test_weights_and_their_card_are_read(folder: Folder) -> None:
    card = WeightsCard(network="0", inputs={}, metrics={"accuracy": 0.5}, provenance={"epoch": 3})
    write_weights(folder, "weights.safetensors", Regression().weights(), card)
    run = TrainingRun(folder.location)
    assert run.card == card
    assert run.to_dict()["epochs"] == 3


def test_a_name_is_looked_up_in_the_storage(folder: Folder, tmp_path: Path) -> None:
    storage = str(tmp_path / "runs")
    assert TrainingRun("night", storage).folder.location == folder.location
    assert [run.name for run in list_trainings(storage)] == ["night"]
    assert list_trainings(str(tmp_path / "nothing")) == []
    with pytest.raises(StorageError, match="no training at"):
        TrainingRun("day", storage)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", "expected"),
        ("[1, 2]", "valid dictionary"),
        ("name: night\n", "created: Field required"),
        ("!!python/object/apply:os.system [false]", "could not determine a constructor"),
    ],
)
def test_a_damaged_file_is_named(folder: Folder, content: str, message: str) -> None:
    folder.write("train.yaml", content.encode())
    with pytest.raises(FileFormatError, match=f"night/train.yaml is damaged: .*{message}"):
        _ = TrainingRun(folder.location).status


def test_a_newer_format_is_refused(folder: Folder) -> None:
    newer = train_file().model_dump(mode="json") | {"schema_version": 2}
    folder.write("train.yaml", yaml.safe_dump(newer).encode())
    with pytest.raises(FileFormatError, match="upgrade autoshrink_ray"):
        _ = TrainingRun(folder.location).status


def test_a_damaged_table_is_named(folder: Folder) -> None:
    folder.write("history.parquet", b"PAR1 nothing PAR1")
    with pytest.raises(FileFormatError, match=r"history\.parquet is damaged"):
        _ = TrainingRun(folder.location).history
