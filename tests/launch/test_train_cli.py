"""The command `train`, as a user types it, and as it is killed."""

from __future__ import annotations

import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from autoshrink_ray.storage import Folder
from launch.cli import app
from launch.epochs import EpochProgress
from search_spaces.zoo import CELLS
from tests.ray.training import same, weights_of, without_ray
from tests.trainables.final.image_support import network_file
from tests.trainables.final.test_folder import train_file
from trainables.final.config import TrainConfig
from trainables.final.folder import TrainingRun

DIGITS = network_file(size=(8, 8), classes=10)

BAD = [
    ("nothing.json", "no network at nothing.json"),
    ("net.json --data none", "unknown data set 'none'; choose one of cifar10, digits"),
    ("net.json --data digits:8", "data set digits takes no argument"),
    ("net.json --data pydoc", "pydoc"),
    ("net.json --recipe none", "unknown recipe 'none'; choose one of cifar, digits"),
    ("net.json --recipe ptb", "recipe 'ptb' is for text networks"),
    ("net.json --epochs 0", "epochs: Input should be greater than or equal to 1, got 0"),
    ("net.json --set speed=1", "unknown recipe setting speed; choose from"),
    ("net.json --set epochs", "--set takes KEY=VALUE, got 'epochs'"),
    ("net.json --set optimiser=[", "--set optimiser=VALUE takes a value as in YAML, got '['"),
    ("net.json --set optimiser=adam", "optimiser: Input should be 'rmsprop_tf' or 'sgd'"),
    ("net.json --epochs 3 --set epochs=4", "the recipe's setting epochs is given twice"),
    ("net.json --seed -1", "seed: Input should be greater than or equal to 0, got -1"),
    ("net.json --workers 0", "workers: Input should be greater than or equal to 1, got 0"),
    ("net.json --workers 2 --gpus-per-worker 0.5", "gpus_per_worker is 0 or 1 for several workers"),
    ("net.json --workers 2 --batch-size 15", "batch_size is a multiple of the number of workers"),
    ("text.json --loader-workers 1", "loader_workers prepare images, got 1 for a network of the"),
    ("net.json --name used", "the name 'used' belongs to something else"),
    ("net.json --gpus-per-worker 2", "gpus_per_worker: Input should be less than or equal to 1"),
    ("net.json --checkpoint-every 0", "checkpoint_every: Input should be"),
    ("net.json --name a/b", "name: String should match pattern"),
    ("net.json --storage s3://key:secret@bucket", "a URI without credentials"),
    ("net.json --storage net.json/below", "cannot write"),
    ("net.json --plugin no.such.module", "a plug-in is an importable module"),
    ("net.json --address 127.0.0.1:1", "no Ray cluster answers at '127.0.0.1:1'"),
    ("cell.json", "is a cell, and a network is needed"),
    ("broken.json", "broken.json is not valid JSON"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.json").write_bytes(DIGITS.to_json())
    (tmp_path / "text.json").write_bytes(CELLS["shrink-rnn"].network.to_json())
    (tmp_path / "runs" / "used").mkdir(parents=True)
    (tmp_path / "runs" / "used" / "network.json").write_text("of somebody")
    (tmp_path / "runs" / "used" / "tune.yaml").write_text("another study")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "cell.json").write_text('{"nodes": 2}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_gives_one_message_and_exit_code_2(
    place: Path, arguments: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    done = CliRunner().invoke(app, ["train", *arguments.split()], env={"COLUMNS": "200"})
    assert message in " ".join(done.stderr.split())
    assert done.exit_code == 2
    assert Folder(str(place / "runs")).folders() == ["used"]
    assert len(list(Folder(str(place / "runs" / "used")).files())) == 2


RECORD = {"epoch": 2, "attempt": 0, "seconds": 1.5, "loss": 0.5, "accuracy": 0.75, "other": 1e-5}


@pytest.fixture
def run(tmp_path: Path) -> TrainingRun:
    folder = Folder(str(tmp_path / "night"))
    train_file().write(folder)
    folder.write("network.json", DIGITS.to_json())
    return TrainingRun(folder.location)


class Data:
    summary = "a few digits"
    fingerprint = "0"


def test_without_a_terminal_each_epoch_is_a_line(run: TrainingRun) -> None:
    output = io.StringIO()
    with EpochProgress(Console(file=output, width=40)) as progress:
        progress.on_start(run, Data())
        progress.on_epoch(RECORD)
        progress.on_note("a [note]")
    lines = output.getvalue().splitlines()
    assert lines[0] == run.folder.location
    assert lines[1].endswith("parameters on a few digits")
    assert lines[2] == ("epoch 2 of 3: validation loss 0.5000, accuracy 0.7500, other 1e-05, 1.5 s")
    assert lines[3] == "a [note]"


def test_on_a_terminal_epochs_share_a_line(run: TrainingRun) -> None:
    output = io.StringIO()
    with EpochProgress(Console(file=output, force_terminal=True, width=200)) as progress:
        progress.on_start(run, Data())
        for epoch in range(1, 4):
            progress.on_epoch(RECORD | {"epoch": epoch})
    assert "epoch 3 of 3: validation loss 0.5000" in output.getvalue()
    assert output.getvalue().count("\n") < 8


OPTIONS = "--data digits --recipe digits --epochs 60 --batch-size 20 --train-per-class 30"
SETTINGS = {"epochs": 60, "batch_size": 20, "train_per_class": 30}


@contextmanager
def started(place: Path) -> Iterator[subprocess.Popen[str]]:
    """The command in a process group of its own, of which nothing is left in the end."""
    command = [sys.executable, "-c", "from launch.cli import main; main()", "train", "net.json"]
    process = subprocess.Popen(
        [*command, *OPTIONS.split(), "--name", "cut"],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def newest(place: Path) -> int:
    """Epoch of the newest checkpoint; 0 before the first."""
    names = Path(place, "runs", "cut", "checkpoints").glob("epoch-*.json")
    return max((int(path.stem.removeprefix("epoch-")) for path in names), default=0)


def wait_for_epoch(place: Path, process: subprocess.Popen[str], epoch: int) -> None:
    deadline = time.monotonic() + 120
    while newest(place) < epoch and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_and_stopped_it_ends_where_an_undisturbed_training_ends(place: Path) -> None:
    # Stopped first: a worker that outlives a killed driver writes checkpoints, too.
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        before = newest(place)
        with started(place) as process:
            wait_for_epoch(place, process, before + 1)
            time.sleep(random.uniform(0, 0.7))
            end(process, number)
        assert before < newest(place) < SETTINGS["epochs"]
        check_state(TrainingRun("runs/cut"), number)
    after = newest(place)
    with started(place) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    went_on = re.search(r"going on after epoch (\d+) of 60", output)
    assert went_on is not None, output
    assert int(went_on[1]) >= after  # a worker outlives its driver by a few seconds
    run = TrainingRun("runs/cut")
    assert run.status == "finished"
    assert [record["epoch"] for record in run.history] == list(range(1, 61))
    config = TrainConfig(data="digits", recipe="digits", settings=dict(SETTINGS))
    assert same(weights_of(run), without_ray(DIGITS, config, place / "reference"))


def end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Kills everything of the command at once, or asks its driver to stop."""
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
        assert process.wait() == -number
    else:
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number


def check_state(run: TrainingRun, number: signal.Signals) -> None:
    if number == signal.SIGKILL:
        assert run.status == "open"
        return
    message = "stopped by SIGTERM; the run can be resumed"
    assert (run.status, run.message) == ("interrupted", message)
    assert run.history
