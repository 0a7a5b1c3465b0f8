"""Runs as jobs of a real head with tokens: sent, watched, stopped, killed, sent again."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ray._private.utils import write_ray_address
from ray.cluster_utils import Cluster
from typer.testing import CliRunner

from autoshrink_ray import Run, SearchConfig, run_search
from launch.cli import app
from launch.jobs.client import JobServer
from launch.jobs.code import stage
from launch.jobs.follow import ended
from tests.core.runs import decisions, results

pytestmark = pytest.mark.ray

PLUGIN = Path(__file__).parents[1] / "plugins" / "table.py"
SETTINGS = {"space": "table", "plugins": ["lookup"], "nodes": 5, "candidates": 3}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A head that runs no trials and a node that does; yields the dashboard's URL."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="aj-", ignore_cleanup_errors=True) as folder:
        head = {
            "num_cpus": 0,
            "include_dashboard": True,
            "dashboard_port": port,
            "dashboard_agent_listen_port": free_port(),
            "temp_dir": folder,
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
            patch.delenv("RAY_ADDRESS", raising=False)
            cluster = Cluster(initialize_head=True, head_node_args=head)
            write_ray_address(cluster.gcs_address, folder)  # as `ray start` does
            cluster.add_node(num_cpus=2, temp_dir=f"{folder}/node")  # its own copy of the code
        yield f"http://127.0.0.1:{port}"
        cluster.shutdown()


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: a plug-in that only the upload can bring to the cluster."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "lookup.py").write_text(PLUGIN.read_text().replace("tests.plugins.table", "lookup"))
    return folder


def launch(*arguments: str) -> tuple[int, str]:
    """A command in this process: its exit code and all that it says."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def until(condition: Callable[[], bool], server: JobServer, job_id: str) -> None:
    """Waits for something that happens while a job runs."""
    while not condition():
        assert server.job(job_id).active, server.log(job_id)
        time.sleep(0.2)


def evaluations(folder: Path) -> int:
    return len(list(folder.glob("ledger/*/*/*-candidate-*.json")))


@pytest.mark.timeout(900)
def test_a_run_that_is_stopped_and_killed_and_sent_again_comes_to_the_same_answer(
    address: str, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "runs"
    folder = storage / "steps"
    settings = code / "settings.yaml"
    settings.write_text(yaml.safe_dump({**SETTINGS, "proxy": {"seconds": 0.5}}))
    search = ["search", str(settings), "--name", "steps", "--storage", str(storage)]
    send = ["submit", "--address", address, "--working-dir", str(code)]
    on = ["--address", address]
    server = JobServer.at(address)
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")  # an address that was given wins

    exit_code, said = launch(*send, "--", *search)
    assert (exit_code, "submitted steps-1" in said) == (0, True), said
    until(lambda: evaluations(folder) >= 2, server, "steps-1")
    exit_code, said = launch("status", "steps", "--json", *on)
    shown = json.loads(said)
    assert [job["status"] for job in shown["jobs"]] == ["RUNNING"]
    assert shown["progress"]["evaluations"] >= 2
    assert shown["jobs"][0]["storage"] == str(storage)
    exit_code, said = launch(*send, "--", *search)
    assert (exit_code, "driven by the job steps-1" in said) == (2, True), said

    exit_code, said = launch("stop", "steps", *on)
    assert exit_code == 0, said + launch("logs", "steps", *on)[1]
    assert "steps-1 has stopped" in said
    assert Run(str(folder)).last_end == "interrupted"

    stopped_at = evaluations(folder)
    assert launch(*send, "--", *search)[0] == 0
    until(lambda: evaluations(folder) > stopped_at, server, "steps-2")
    os.kill(json.loads((folder / "lease.json").read_text())["pid"], signal.SIGKILL)
    assert ended(server, "steps-2").status == "FAILED"

    exit_code, said = launch(*send, "--follow", "--", *search)
    assert exit_code == 0, said
    assert "Best cell" in said
    assert said.endswith("steps-3 has succeeded\n")
    assert launch("logs", "steps", *on)[1] in said
    exit_code, said = launch("status", *on)
    assert [word for word in ("stopped", "failed", "succeeded") if word not in said] == []

    here = SearchConfig.of({**SETTINGS, "plugins": ["tests.plugins.table"]})
    alone = run_search(here, storage=str(tmp_path / "alone"), executor="in-process")
    run = Run(str(folder))
    assert decisions(run) == decisions(alone)
    assert results(run) == results(alone)


def test_a_job_that_is_sent_by_hand_is_found(address: str, code: Path, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    stage(upload, code, {})
    command = (
        f"ray job submit --address {address} --submission-id hand-1 --working-dir {upload} "
        f"""--runtime-env-json '{{"env_vars": {{"RAY_JOB_STOP_SIGNAL": "SIGINT", """
        f""""RAY_JOB_STOP_WAIT_TIME_S": "120"}}}}' """
        f"""--metadata-json '{{"run": "hand", "storage": "{tmp_path}/runs"}}' """
        f"-- python -m launch search --plugin lookup --space table --nodes 3 --candidates 2 "
        f"--storage {tmp_path}/runs --name hand --address auto"
    )
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ray"), *shlex.split(command)[1:]],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert Run(str(tmp_path / "runs" / "hand")).status == "finished"
    assert "Best cell" in launch("logs", "hand", "--address", address)[1]


def test_without_a_token_and_with_a_wrong_one_nothing_is_told(address: str, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    bare = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    bare |= {"HOME": str(tmp_path), "COLUMNS": "200"}
    command = [sys.executable, "-W", "ignore", "-m", "launch", "status", "--address", address]
    asked = [
        subprocess.Popen(command, env=bare | more, stderr=subprocess.PIPE, text=True)
        for more in ({}, {"RAY_AUTH_TOKEN_PATH": str(wrong)})
    ]
    told = [(process.communicate(timeout=100)[1], process.returncode) for process in asked]
    for (said, status), number in zip(told, ("401", "403"), strict=True):
        assert (status, f"({number})" in said, "Traceback" in said) == (2, True, False), said


def test_unknown_names_and_other_ports_are_usage_errors(address: str) -> None:
    exit_code, said = launch("logs", "nobody", "--address", address)
    assert (exit_code, "no run or job called 'nobody'" in said) == (2, True)
    exit_code, said = launch("status", "--address", f"http://127.0.0.1:{free_port()}")
    assert (exit_code, "no job server answers" in said) == (2, True)
