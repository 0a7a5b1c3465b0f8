"""The command line, as a user types it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from autoshrink_ray import Run
from autoshrink_ray.ledger import End, Ledger
from autoshrink_ray.storage import Folder
from launch.cli import app

TINY = (
    "search --executor in-process --nodes 3 --candidates 2 --epochs 1 "
    "--proxy-train-per-class 8 --proxy-valid-per-class 4 --name tiny"
)


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in this process, which has the imports that take most of its time."""
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception  # a traceback for the user
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from launch.cli import main; main()", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "200", "PYTHONWARNINGS": "ignore"},
        check=False,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a tiny run has finished."""
    folder = tmp_path_factory.mktemp("cli")
    done = process(*TINY.split(), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "Best cell" in done.stdout
    return folder


def test_show_prints_the_rounds(place: Path) -> None:
    assert "search 0, seed 0, finished" in command("show", "tiny", cwd=place).stdout


def test_show_json_prints_the_runs_summary(place: Path) -> None:
    shown = json.loads(command("show", "tiny", "--json", cwd=place).stdout)
    run = Run(str(place / "runs" / "tiny"))
    assert shown == json.loads(json.dumps(run.to_dict()))


def test_best_writes_the_cell_that_show_names(place: Path) -> None:
    done = command("best", "tiny", "-o", "cell.json", cwd=place)
    assert done.returncode == 0
    cell = json.loads((place / "cell.json").read_text())
    run = Run(str(place / "runs" / "tiny"))
    assert run.best is not None
    assert [tuple(edge) for edge in cell["edges"]] == list(run.best.topology.edges)


def test_runs_lists_and_a_finished_run_is_not_run_again(place: Path) -> None:
    listed = command("runs", cwd=place).stdout
    assert "tiny" in listed
    assert "finished" in listed
    before = sorted((place / "runs" / "tiny").rglob("*.json"))
    assert command(*TINY.split(), cwd=place).returncode == 0
    assert sorted((place / "runs" / "tiny").rglob("*.json")) == before


def test_a_damaged_run_hides_no_other_and_is_named(place: Path) -> None:
    (place / "more" / "broken").mkdir(parents=True)
    (place / "more" / "broken" / "run.yaml").write_text("name: [")
    done = command(*TINY.split(), "--storage", "more", cwd=place)
    assert done.returncode == 0, done.stderr
    listed = command("runs", "--storage", "more", cwd=place).stdout
    assert "tiny" in listed
    assert "damaged" in listed
    shown = command("show", "more/broken", cwd=place)
    assert (shown.returncode, "Traceback" in shown.stderr) == (2, False)
    assert command("rm", "more/broken", "--yes", cwd=place).returncode == 0


def test_a_message_with_brackets_is_shown_as_it_is(place: Path) -> None:
    done = command(*TINY.replace("tiny", "odd").split(), cwd=place)
    assert done.returncode == 0, done.stderr
    folder = Folder(str(place / "runs" / "odd"))
    for name in folder.files("ledger", recursive=True):
        if "decision" in name or ".end." in name:
            Path(folder.path, name).unlink()
    Ledger(folder, "9999-x").append_end(End(status="failed", message="no [/tmp/foo] left"))
    assert "failed: no [/tmp/foo] left" in command("show", "odd", cwd=place).stdout


def test_rm_asks_first(place: Path) -> None:
    assert command(*TINY.replace("tiny", "gone").split(), cwd=place).returncode == 0
    assert command("rm", "gone", cwd=place).returncode != 0
    assert (place / "runs" / "gone").exists()
    assert command("rm", "gone", "--yes", cwd=place).returncode == 0
    assert not (place / "runs" / "gone").exists()


def test_options_override_a_file_that_overrides_a_preset(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("seed: 5\nproxy: {batch_size: 16}\n")
    options = ["my.yaml", "--preset", "demo", "--seed", "9", "--print-config"]
    done = command("search", *options, cwd=tmp_path)
    shown = yaml.safe_load(done.stdout)
    assert (shown["nodes"], shown["seed"], shown["proxy"]["batch_size"]) == (5, 9, 16)


BAD = [
    ("search --cpus-per-trial 0.00001", "greater than or equal to 0.0001"),
    ("search --gpus-per-trial 0.00001", "gpus_per_trial is 0 or at least 0.0001"),
    ("search --gpus-per-trial 1.5", "gpus_per_trial above 1 is a whole number"),
    ("search --extend", "--extend goes on with a run that is there: give its --name"),
    ("search --extend --name none", "a run that is there, and 'none' is none"),
    ("search --quiet --json-progress", "--json-progress and --quiet contradict each other"),
    ("search --trial-timeout 1e11", "trial_timeout: Input should be less than or equal to"),
    ("search --storage s3://key:secret@bucket", "a URI without credentials"),
    ("search --address 127.0.0.1:1", "no Ray cluster answers at '127.0.0.1:1'"),
    ("doctor --cpus-per-trial -1", "cpus_per_trial: Input should be"),
    ("search --no-such-option", "No such option"),
    ("search --preset none", "unknown preset 'none'; choose one of demo, paper-cnn, paper-rnn"),
    ("search --space none", "unknown search space 'none'; choose one of cnn, "),
    ("search --data none", "unknown data set 'none'; choose one of cifar10, digits"),
    ("search --nodes 1", "greater than or equal to 2, got 1"),
    ("search --candidates 0", "greater than or equal to 1, got 0"),
    ("search --keep-fraction 1", "less than 1, got 1"),
    ("search --keep-fraction 0", "greater than 0, got 0"),
    ("search --policy mine", "'paper', got 'mine'"),
    ("search --algorithm random", "needs a budget"),
    ("search --algorithm random --budget 3 --candidates 3", "--candidates belongs to"),
    ("search bad-key.yaml", "unknown configuration key nodez"),
    ("search broken.yaml", "broken.yaml is not valid YAML"),
    ("search missing.yaml", "cannot read the configuration file"),
    ("search --data parquet:nowhere", "nowhere"),
    ("search --data imagefolder:empty", "empty"),
    ("search --space rnn --data text:only-train", "valid.txt"),
    ("search --data parquet:broken-parquet", "broken-parquet"),
    ("search --storage broken.yaml/below", "cannot write"),
    ("search --storage nope://x", "a storage location is a local path or a URI"),
    ("search --space rnn --proxy-train-per-class 3", "unknown proxy setting train_per_class"),
    ("search --plugin no.such.module", "a plug-in is an importable module"),
    ("show nothing", "no run at"),
]


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "bad-key.yaml").write_text("nodez: 3\n")
    (folder / "broken.yaml").write_text("{nodes: [")
    (folder / "empty").mkdir()
    (folder / "only-train").mkdir()
    (folder / "only-train" / "train.txt").write_text("a b c\n")
    (folder / "broken-parquet").mkdir()
    for split in ("train", "valid"):
        (folder / "broken-parquet" / f"{split}.parquet").write_bytes(b"PAR1 nothing PAR1")
    return folder


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_input_gives_one_message_and_exit_code_2(
    bad_files: Path, arguments: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    done = command(*arguments.split(), cwd=bad_files)
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_name_in_use_with_another_configuration_is_refused(place: Path) -> None:
    done = command(*TINY.split(), "--seed", "3", cwd=place)
    assert done.returncode == 2
    assert "seed was 0, now 3" in done.stderr
    assert Run(str(place / "runs" / "tiny")).status == "finished"


@pytest.mark.ray
def test_a_signal_leaves_a_readable_run_that_goes_on(tmp_path: Path) -> None:
    """SIGTERM: test_survival_cli."""
    options = "--nodes 5 --candidates 3 --name cut slow.yaml --plugin tests.plugins.table"
    arguments = ["search", "--space", "table", *options.split()]
    (tmp_path / "slow.yaml").write_text("proxy: {seconds: 0.4}\n")
    entry = [sys.executable, "-c", "from launch.cli import main; main()", *arguments]
    with subprocess.Popen(entry, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        ledger = tmp_path / "runs" / "cut" / "ledger"
        deadline = time.monotonic() + 90
        while not list(ledger.rglob("*candidate*.json")) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    run = Run(str(tmp_path / "runs" / "cut"))
    assert run.status == "interrupted"
    kept = dict(run.ledger.evaluations)
    assert kept
    done = command(*arguments, "--executor", "in-process", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resuming round " in done.stdout
    finished = Run(str(tmp_path / "runs" / "cut"))
    assert finished.status == "finished"
    assert kept.items() <= finished.ledger.evaluations.items()


@pytest.mark.ray
def test_doctor_says_what_is_ready_and_what_is_not(tmp_path: Path) -> None:
    done = process("doctor", "--storage", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    checks = [line.split(":")[0].split()[1] for line in done.stdout.splitlines() if ":" in line]
    assert checks == ["versions", "resources", "storage", "data", "one"]
    assert "trained in" in done.stdout
    (tmp_path / "file").touch()
    done = process("doctor", "--storage", "file/below", "--data", "parquet:none", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("FAIL") == 3
    assert "Traceback" not in done.stderr
