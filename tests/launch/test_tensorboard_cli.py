"""`autoshrink-ray tensorboard`, as a user types it: what it serves, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from autoshrink_ray import Run, run_search
from autoshrink_ray.storage import Folder
from autoshrink_ray.tensorboard import ScalarWriter
from launch import tensorboard as command
from launch.streams import Gathered
from tests.core.processes import table
from tests.core.runs import killed
from tests.core.test_outage import free_port, started
from tests.trainables.final.test_folder import train_file

CODE = "from launch.cli import main; main()"

PATIENCE = 60
"""Seconds that something may take on a slow machine."""


@contextmanager
def going(*arguments: str, cwd: Path) -> Iterator[tuple[str, str]]:
    """What the command says, and the address of its server; ends it by Ctrl-C."""
    command = [sys.executable, "-u", "-c", CODE, "tensorboard", *arguments, "--port", "0"]
    environment = os.environ | {"COLUMNS": "200", "PYTHONWARNINGS": "ignore", "TMPDIR": str(cwd)}
    with subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C ends it" not in said:
            line = process.stdout.readline()
            assert line, f"the server did not start: {said}"
            said += line
        found = re.search(r"TensorBoard at http://(127\.0\.0\.1:\d+/)", said)
        assert found, said
        try:
            yield said, found[1]
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(PATIENCE)
    assert code == 130
    assert list(cwd.glob("autoshrink-ray-board-*")) == [], "nothing is left behind"


def streams(url: str, expected: set[str]) -> set[str]:
    """Streams that the server shows, once it shows those expected."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with urllib.request.urlopen(f"http://{url}data/runs", timeout=PATIENCE) as answer:
            found = set(json.load(answer))
        if found >= expected or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def table_rows(url: str) -> set[str]:
    """Rows of the HPARAMS page, in which TensorBoard may put several streams."""
    wanted = {"allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE"], "sliceSize": 1000}
    query = urllib.parse.quote(json.dumps(wanted))
    address = f"http://{url}data/plugin/hparams/session_groups?request={query}"
    with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
        return {group["name"] for group in json.load(answer)["sessionGroups"]}


def failing(*arguments: str, cwd: Path) -> str:
    """The message of a command that ends with exit code 2."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, "tensorboard", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | {"COLUMNS": "200", "PYTHONWARNINGS": "ignore"},
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def names(run: Run) -> set[str]:
    """Streams that a run should have."""
    return {"search"} | {
        f"round-{e.candidate.round:02d}/candidate-{e.candidate.index:02d}"
        for e in run.ledger.evaluations.values()
    }


def test_a_run_and_nothing_but_it(tmp_path: Path) -> None:
    run = run_search(table(tmp_path / "runs"))
    with going("run", cwd=tmp_path) as (said, url):
        assert streams(url, names(run)) == names(run)
        assert f"{url}#custom_scalars&_smoothingWeight=0\n" in said


def test_runs_side_by_side_also_one_that_was_killed_and_one_without_streams(
    tmp_path: Path,
) -> None:
    config = table(tmp_path / "runs")
    one = run_search(config)
    killed(config, 4, name="killed")
    killed(config, 5, name="bare", tensorboard="off")
    bare = Run("bare", config.storage)
    expected = {f"run/{stream}" for stream in names(one)} | {"killed/search"}
    expected |= {f"bare/{stream}" for stream in names(bare)}
    with going("run", "killed", "bare", cwd=tmp_path) as (said, url):
        assert streams(url, expected) >= expected
        assert "bare has no files for TensorBoard" in said
    assert not Path(bare.folder.path, "tensorboard").exists()


def test_a_run_whose_files_were_deleted_and_whose_ledger_is_damaged(tmp_path: Path) -> None:
    run = run_search(table(tmp_path / "runs"))
    folder = Path(run.folder.path)
    for path in (folder / "tensorboard" / "search").iterdir():
        path.unlink()
    (damaged,) = folder.rglob("round-001-candidate-0001.json")
    damaged.write_text("{")
    (decision,) = folder.rglob("round-002-decision.json")
    decision.write_bytes(decision.read_bytes()[:40])
    expected = names(run) - {"round-01/candidate-01"}
    with going("run", cwd=tmp_path) as (said, url):
        assert streams(url, expected) == expected
        assert "run has no files for TensorBoard: this is what its ledger holds now" in said
        for path in (damaged, decision):
            assert f"damaged: {path.relative_to(folder)}: " in said


def test_many_streams_are_not_selected_unasked_so_the_link_names_the_searches(
    tmp_path: Path,
) -> None:
    run_search(table(tmp_path / "runs"), nodes=6, candidates=15)
    with going("run", cwd=tmp_path) as (said, _):
        assert "/#custom_scalars&_smoothingWeight=0&regexInput=search" in said


def test_two_runs_of_one_name(tmp_path: Path) -> None:
    for storage in ("runs", "more"):
        run_search(table(tmp_path / storage))
    candidates = names(Run("run", str(tmp_path / "runs")))
    expected = {f"{run}/{stream}" for run in ("run", "run (2)") for stream in candidates}
    with going("run", "more/run", cwd=tmp_path) as (_, url):
        assert streams(url, expected) == expected
        assert table_rows(url) == {stream for stream in expected if "candidate" in stream}


def test_a_training(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "runs" / "night"))
    train_file().write(folder)
    assert "the training" in failing("night", cwd=tmp_path)
    writer = ScalarWriter(folder.child("tensorboard"))
    writer.add(1, {"accuracy": 0.5})
    writer.flush()
    with going("night", cwd=tmp_path) as (said, url):
        assert streams(url, {"."}) == {"."}
        assert f"{url}\n" in said


def test_a_run_on_s3_that_is_still_going(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    options = f"scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"
    storage = f"s3://bucket/runs?{options}&allow_bucket_creation=true"
    server = started(port)
    try:
        Folder(storage).filesystem.create_dir("bucket")
        config = table(tmp_path).model_copy(update={"storage": storage})
        killed(config, 4)
        with going("run", "--storage", storage, cwd=tmp_path) as (_, url):
            assert streams(url, {"search"}) >= {"search"}
            run = run_search(config)
            assert streams(url, names(run)) >= names(run)
    finally:
        server.kill()
        server.wait()


def test_its_end_does_not_wait_for_a_storage_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[int] = []
    answers = threading.Event()

    class Stuck(Gathered):
        def refresh(self) -> None:
            caught.append(signal.SIGINT)
            answers.wait(PATIENCE)

    monkeypatch.setattr(command, "_REFRESH", 0)
    monkeypatch.setattr(command, "_PATIENCE", 0)
    command._wait(Stuck(tmp_path, Console()), caught)
    assert [thread.name for thread in threading.enumerate()].count("refresh") == 1
    answers.set()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert "no search and no training at" in failing("nothing", cwd=tmp_path)
    killed(table(tmp_path / "runs"), 1, tensorboard="off")
    for object_file in (tmp_path / "runs" / "run" / "ledger").rglob("*candidate*"):
        object_file.unlink()
    assert "has nothing to show yet" in failing("run", cwd=tmp_path)
    (tmp_path / "runs" / "run" / "tensorboard").mkdir()
    assert "has nothing to show yet" in failing("run", cwd=tmp_path)
    (tmp_path / "runs" / "run" / "run.yaml").write_text("name: [")
    assert "is damaged" in failing("run", cwd=tmp_path)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    run_search(table(tmp_path / "runs"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = failing("run", "--port", str(port), cwd=tmp_path)
    assert f"TensorBoard cannot listen at port {port}" in message
    assert "less than or equal to 65535" in failing("run", "--port", "70000", cwd=tmp_path)
