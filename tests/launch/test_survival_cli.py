"""What the command line says of runs that were cut off, held, extended or changed."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import pytest
from click.testing import Result
from typer.testing import CliRunner

from autoshrink_ray import Run
from autoshrink_ray.json_progress import JsonProgress
from autoshrink_ray.records import Candidate, Evaluation, Measurement
from autoshrink_ray.topology import Topology
from launch.cli import app
from tests.core.processes import ROOT

ENTRY = [sys.executable, "-c", "from launch.cli import main; main()"]

ENVIRONMENT = os.environ | {
    "COLUMNS": "200",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "ignore",
}

SEARCH = ["search", "settings.yaml", "--name", "run"]

SETTINGS = """
plugins: [tests.plugins.table]
space: table
nodes: 5
candidates: 3
executor: in-process
tensorboard: "off"
proxy: {seconds: 0.1}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: str) -> Result:
    """One command in this process, in which everything is imported already."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*ENTRY, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def told(lines: list[str], event: str) -> list[dict[str, Any]]:
    """Every line is an event; those of one kind."""
    events = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    return [item for item in events if item["event"] == event]


def read_until(stream: TextIO | None, event: str, times: int) -> list[str]:
    assert stream is not None
    lines: list[str] = []
    for line in stream:
        lines.append(line)
        if len(told(lines, event)) == times:
            break
    return lines


@pytest.mark.parametrize(
    ("executor", "number", "code"),
    [
        ("in-process", signal.SIGINT, 130),
        pytest.param("tune", signal.SIGTERM, 143, marks=pytest.mark.ray),
    ],
)
def test_a_run_that_was_stopped_says_where_it_goes_on(
    place: Path, executor: str, number: signal.Signals, code: int
) -> None:
    """And nothing but events was printed, with Ray or without it."""
    with started(*SEARCH, "--executor", executor, "--json-progress") as process:
        lines = read_until(process.stdout, "evaluation", 4)
        process.send_signal(number)
        rest, errors = process.communicate(timeout=90)
        lines += rest.splitlines()
    assert process.returncode == code, errors
    assert f"stopped by {number.name}; the run can be resumed" in errors
    assert "Traceback" not in errors
    run = Run(str(place / "runs" / "run"))
    assert run.status == "interrupted"
    announced = told(lines, "evaluation")
    assert len(run.ledger.evaluations) == len(announced)
    last = max(item["round"] for item in announced)
    done = sum(item["round"] == last for item in announced) % 3
    number_open = last if done else last + 1
    again = command(*SEARCH)
    assert again.exit_code == 0, again.stderr
    assert f"resuming round {number_open}, {done} of 3 evaluated" in again.stdout
    assert Run(str(place / "runs" / "run")).status == "finished"


@pytest.mark.ray
def test_a_signal_while_ray_starts_stops_a_run_as_any_other(place: Path) -> None:
    with started("search", "settings.yaml", "--executor", "tune", "--name", "run") as process:
        deadline = time.monotonic() + 120
        while not starts_ray(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, "stopped by SIGTERM" in errors) == (143, True), errors


def starts_ray(pid: int) -> bool:
    """Whether a process has begun to start Ray's own."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    with suppress(OSError):
        return any("gcs_server" in Path(f"/proc/{c}/cmdline").read_text() for c in children)
    return False


def test_what_was_announced_survives_a_kill(place: Path) -> None:
    with started(*SEARCH, "--json-progress") as process:
        lines = read_until(process.stdout, "evaluation", 5)
        process.kill()
        rest, _ = process.communicate()
    complete = [line for line in [*lines, *rest.splitlines(keepends=True)] if line.endswith("\n")]
    announced = {(e["search"], e["round"], e["index"]) for e in told(complete, "evaluation")}
    assert len(announced) >= 5
    run = Run(str(place / "runs" / "run"))
    assert announced <= set(run.ledger.evaluations)
    again = command(*SEARCH, "--json-progress")
    assert again.exit_code == 0, again.stderr
    lines = again.stdout.splitlines()
    assert told(lines, "start")[0]["evaluations"] == len(run.ledger.evaluations)
    repeated = {(e["search"], e["round"], e["index"]) for e in told(lines, "evaluation")}
    assert not repeated & announced


def test_several_searches_say_each_where_they_are(place: Path) -> None:
    with started(*SEARCH, "--searches", "2", "--json-progress") as process:
        read_until(process.stdout, "decision", 2)
        process.kill()
    again = command(*SEARCH, "--searches", "2")
    line = next(line for line in again.stdout.splitlines() if line.startswith("resuming"))
    assert line.startswith("resuming search 0, round 2, ")
    assert "; search 1, round 2, " in line


def test_a_finished_run_says_so_and_shows_its_answer(place: Path) -> None:
    first = command(*SEARCH)
    assert first.exit_code == 0, first.stderr
    assert "was finished before" not in first.stdout
    again = command(*SEARCH)
    assert again.exit_code == 0
    assert "the run 'run' was finished before" in again.stdout
    assert "Best cell" in again.stdout
    told_again = told(command(*SEARCH, "--json-progress").stdout.splitlines(), "end")
    run = Run(str(place / "runs" / "run"))
    assert told_again[0]["status"] == "finished"
    assert told_again[0]["best"] == json.loads(json.dumps(run.to_dict()["best"]))


def test_differences_are_named_and_extension_goes_on(place: Path) -> None:
    assert command(*SEARCH, "--keep-fraction", "0.6").exit_code == 0
    refused = command(*SEARCH, "--keep-fraction", "0.2", "--seed", "2")
    assert refused.exit_code == 2
    assert "keep_fraction was 0.6, now 0.2; seed was 0, now 2" in refused.stderr
    assert "--extend" in refused.stderr
    extended = command(*SEARCH, "--keep-fraction", "0.2", "--extend")
    assert extended.exit_code == 0, extended.stderr
    assert "resuming round " in extended.stdout
    run = Run(str(place / "runs" / "run"))
    assert (run.status, run.file.config["keep_fraction"]) == ("finished", 0.2)


def test_a_second_driver_gets_one_message(place: Path) -> None:
    (place / "settings.yaml").write_text(SETTINGS.replace("0.1", "2.0"))
    with started(*SEARCH, "--json-progress") as process:
        read_until(process.stdout, "evaluation", 1)
        second = command(*SEARCH)
    assert f"(process {process.pid}) held this run last; watching for 30 s" in second.stdout
    assert second.exit_code == 2
    assert f"is being driven by process {process.pid}" in second.stderr


def test_verify_says_what_holds_and_what_does_not(place: Path) -> None:
    assert command(*SEARCH).exit_code == 0
    done = command("verify", "run", "--re-evaluate", "2")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [
        f"ok    {name}"
        for name in (
            *("checksums", "configuration", "cells", "uses", "decisions", "results"),
            "measurements",
        )
    ]
    assert lines[-1] == "run is finished and consistent"
    path = next((place / "runs").rglob("round-001-candidate-0000.json"))
    path.write_bytes(path.read_bytes()[:-2])
    done = command("verify", "run")
    assert done.exit_code == 1
    assert path.name in done.stderr
    assert command("verify", "no-such-run").exit_code == 2


def test_a_reader_that_goes_does_not_stop_the_run(place: Path) -> None:
    with started(*SEARCH, "--json-progress") as process:
        read_until(process.stdout, "evaluation", 1)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert Run(str(place / "runs" / "run")).status == "finished"


def test_a_line_is_json_whatever_was_measured(tmp_path: Path) -> None:
    cell = Topology.complete(("a", "b"))
    measurement = Measurement(
        status="failed", reason="diverged", metrics={"perplexity": math.inf, "loss": math.nan}
    )
    candidate = Candidate(search=0, round=1, index=0, topology=cell, removed=(0, 1))
    with (tmp_path / "lines").open("w") as stream:
        JsonProgress(stream).on_evaluation(
            Evaluation(candidate=candidate, seed=1, measurement=measurement)
        )
    (line,) = (tmp_path / "lines").read_text().splitlines()
    (event,) = told([line], "evaluation")
    assert event["metrics"] == {"perplexity": None, "loss": None}
    assert event["removed"] == [0, 1]
