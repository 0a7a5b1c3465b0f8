"""Jobs, as far as no cluster is needed: what is refused, what is sent, and which job is meant."""

from __future__ import annotations

import shlex
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from autoshrink_ray.config import RUN_NAME
from autoshrink_ray.errors import ConfigError
from launch.cli import app
from launch.jobs import code as uploads
from launch.jobs.attempts import Job, find, next_id
from launch.jobs.client import JobServer, UnreachableError, server_address
from launch.jobs.code import PACKAGES, stage
from launch.jobs.follow import follow
from launch.jobs.request import parse

STORED = ["--storage", "s3://bucket/runs"]


def job(job_id: str, run: str = "", status: str = "SUCCEEDED") -> Job:
    return Job(id=job_id, run=run, storage="/r", command="search", status=status)


def refused(*arguments: str) -> str:
    """What a command line says that is refused."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 2, done.output
    return " ".join(done.output.split())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("explain night", "one of the commands search, train, tune, got 'explain'"),
        ("search --preset demo", "would be on the head's disk and lost with it"),
        ("search --storage runs", "got 'runs'"),
        ("search --storage s3://b/r --cache measured", "--cache of a job is a URI"),
        ("search --storage s3://b/r --no-such-option", "No such option"),
        ("search --storage s3://b/r --nodes 1", "nodes"),
        ("search --storage s3://b/r --preset night", "unknown preset 'night'"),
        ("search --storage s3://key:secret@b/r", "URI without credentials"),
        ("search --storage s3://b/r --address 10.0.0.1:6379", "give it before"),
        ("train net.json --storage s3://b/r --workers 0", "workers"),
        ("tune net.json --storage s3://b/r --trials 0", "trials"),
        ("tune net.json --storage s3://b/r --trials 9 --study-storage sqlite:///x.db", "sqlite"),
        (
            "tune net.json --trials 9 --storage s3://b/r --study-storage postgresql://me:secret@host/db",
            "--study-storage of a job has no password in it",
        ),
    ],
)
def test_a_command_that_cannot_work_is_refused_before_anything_is_sent(
    command: str, said: str
) -> None:
    assert said in refused("submit", "--address", "http://127.0.0.1:1", "--", *command.split())


def test_a_missing_command_is_refused() -> None:
    assert "Missing argument" in refused("submit")


def test_image_code_and_a_folder_of_code_contradict_each_other() -> None:
    assert "choose one" in refused("submit", "--image-code", "--working-dir", ".", "search")


def test_data_in_a_folder_of_this_machine_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ConfigError, match="data do not travel"):
        parse(["search", *STORED, "--data", "imagefolder:images"])
    assert parse(["search", *STORED, "--data", "imagefolder:/nfs/images"]).inputs == {}


def test_a_run_without_a_name_gets_one_that_goes_along() -> None:
    first, second = parse(["search", *STORED]), parse(["search", *STORED])
    assert first.fresh
    assert first.run != second.run
    assert f"--name {first.run}" in first.metadata["command"]


@pytest.mark.parametrize(
    "command",
    [
        ["search", "--preset", "demo", "--seed", "0", "--gpus-per-trial", "0.0", "--fast"],
        ["search", "--name", "a", "--plugin", "one", "--plugin", "two:SPACE", "--extend"],
        ["train", "--set", "learning_rate=[1, 'a b']", "net.json"],
        ["tune", "--trials", "3", "--vary", "macro.activation=relu,swish", "net.json"],
    ],
)
def test_what_is_sent_means_what_was_typed(command: list[str]) -> None:
    """Sent once more, it is itself: every option is there, once, with its value."""
    sent = parse([*command, *STORED])
    typed = shlex.split(sent.entrypoint)
    assert typed[:4] == ["exec", "python", "-m", "launch"]
    for token in command:
        assert token in typed
    again = parse(typed[4:])
    assert again.arguments == sent.arguments
    assert (again.run, again.storage, again.fresh) == (sent.run, "s3://bucket/runs", False)
    assert typed[typed.index("--address") + 1] == "auto"


def test_files_that_a_command_names_travel_with_it(tmp_path: Path) -> None:
    config = tmp_path / "my night.yaml"
    config.write_text("name: night\nstorage: /nfs/runs\n")
    sent = parse(["search", str(config)])
    assert (sent.run, sent.storage) == ("night", "/nfs/runs")
    assert sent.arguments[-1] == "inputs/my night.yaml"
    stage(tmp_path / "upload", None, sent.inputs)
    assert (tmp_path / "upload" / sent.arguments[-1]).read_text() == config.read_text()


def uploaded(folder: Path, code: Path) -> set[str]:
    """The user's files that are uploaded from a folder."""
    stage(folder, code, {})
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    ours = {name for name in found if name.split("/")[0] in PACKAGES}
    assert {"launch/__main__.py", "trainables/data/__init__.py"} <= ours
    assert not any("__pycache__" in name for name in ours)
    return found - ours


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of code with what does not belong to it."""
    folder = tmp_path / "project"
    for name in (
        *("space.py", "lib/data/reader.py", ".env", ".venv/x.py", "venv/x.py", "scratch.log"),
        *("__pycache__/space.pyc", "runs/night/run.yaml", "data/images.bin", "kept/table.csv"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_junk_stays_here_without_git(tmp_path: Path, project: Path) -> None:
    wanted = {"space.py", "lib/data/reader.py", "scratch.log", "kept/table.csv"}
    assert uploaded(tmp_path / "upload", project) == wanted


def test_what_git_ignores_stays_here_and_what_it_tracks_travels(
    tmp_path: Path, project: Path
) -> None:
    (project / ".gitignore").write_text("*.log\nkept/\n")
    git = ["git", "-C", str(project)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-f", "data/images.bin", ".env"], check=True)
    wanted = {"space.py", "lib/data/reader.py", "data/images.bin"}
    assert uploaded(tmp_path / "upload", project) == wanted


def test_an_upload_that_is_too_large_names_the_largest_files(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LIMIT", 2**20)
    (project / "weights.bin").write_bytes(bytes(2 * 2**20))
    with pytest.raises(ConfigError, match=r"at most 1 MiB.*weights\.bin \(2 MiB\)"):
        stage(tmp_path / "upload", project, {})
    assert not (tmp_path / "upload").exists()


@given(st.from_regex(RUN_NAME, fullmatch=True), st.integers(1, 8))
def test_attempts_count_up_and_the_latest_is_the_runs(run: str, attempts: int) -> None:
    jobs: list[Job] = []
    for number in range(1, attempts + 1):
        assert next_id(jobs, run) == f"{run}-{number}"
        jobs.insert(0, job(f"{run}-{number}", run))
    assert find(jobs, run).id == f"{run}-{attempts}"
    assert find(jobs, f"{run}-1").id == f"{run}-1"


def test_a_run_that_is_driven_is_refused_with_its_job() -> None:
    jobs = [job("night-1", "night"), job("night-2", "night", "PENDING")]
    with pytest.raises(ConfigError, match="driven by the job night-2"):
        next_id(jobs, "night")
    assert next_id(jobs, "nigh") == "nigh-1"


def test_a_name_that_is_a_job_and_a_run_is_ambiguous() -> None:
    jobs = [job("night-1", "night"), job("night-1-1", "night-1")]
    with pytest.raises(ConfigError, match=r"'night-1' is a job and also a run"):
        find(jobs, "night-1")
    assert find(jobs, "night-1-1").run == "night-1"
    with pytest.raises(ConfigError, match="it knows night, night-1"):
        find(jobs, "day")


@pytest.mark.parametrize(
    "address",
    ["auto", "ray://10.0.0.1:10001", "http://", "http://h:port", "h:0", "http://[::1", "file:///x"],
)
def test_an_address_of_another_kind_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="that of the cluster's dashboard"):
        server_address(address)


def test_the_address_that_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    assert server_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "http://head:80/ray/")
    assert server_address(None) == "http://head:80/ray"
    assert server_address("other") == "http://other:8265"
    assert server_address("https://other") == "https://other", "which has a port of its own"


@pytest.fixture
def no_http() -> Iterator[int]:
    """A port where something answers that speaks no HTTP, as a cluster's own does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.sendall(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")

        threading.Thread(target=answer, daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def test_the_clusters_own_port_is_recognised(no_http: int) -> None:
    said = refused("status", "--address", f"127.0.0.1:{no_http}")
    assert "6379 is the cluster's own" in said


@pytest.fixture
def old_ray() -> Iterator[int]:
    """A job server of another Ray."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"version": "4", "ray_version": "2.50.1", "ray_commit": "x"}'
            self.send_response(200 if self.path == "/api/version" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_another_ray_on_the_cluster_is_refused(old_ray: int) -> None:
    sent = ["search", "--preset", "demo", *STORED]
    said = refused("submit", "--image-code", "--address", f"127.0.0.1:{old_ray}", "--", *sent)
    assert "runs Ray 2.50.1" in said


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (requests.exceptions.ReadTimeout("slow"), UnreachableError),
        (RuntimeError("Request failed with status code 503: none."), UnreachableError),
        (RuntimeError("Request failed with status code 400: bad."), ConfigError),
    ],
)
def test_a_server_that_is_slow_or_away_is_asked_again_and_one_that_refuses_is_not(
    raised: Exception, expected: type[Exception]
) -> None:
    class Client:
        def get_job_info(self, job_id: str) -> Any:
            raise raised

    with pytest.raises((UnreachableError, ConfigError)) as caught:
        JobServer("http://127.0.0.1:1", Client(), "2.60.0").job("night-1")
    assert caught.type is expected


def test_word_vectors_in_a_configuration_are_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("a 1\n")
    file = tmp_path / "my.yaml"
    file.write_text(f"space: rnn\nproxy: {{word_vectors: {tmp_path}/vectors.txt}}\n")
    with pytest.raises(ConfigError, match="give them as --word-vectors"):
        parse(["search", str(file), *STORED])


class Breaking:
    """Ray's client over a connection that breaks after every few pieces of a log."""

    def __init__(self, pieces: list[str], breaks: list[int]) -> None:
        self.pieces, self.breaks = pieces, breaks

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        at = self.breaks.pop(0) if self.breaks else None
        for number, piece in enumerate(self.pieces):
            if number == at:
                raise RuntimeError("connection closed")
            yield piece

    def get_job_info(self, job_id: str) -> Any:
        return SimpleNamespace(
            metadata={},
            entrypoint="",
            status="RUNNING" if self.breaks else "SUCCEEDED",
            submission_id=job_id,
            **dict.fromkeys(("start_time", "end_time", "driver_exit_code", "message")),
        )

    def get_job_logs(self, job_id: str) -> str:
        return "".join(self.pieces)


@given(
    st.lists(st.text(min_size=1), max_size=6),
    st.lists(st.integers(0, 5), max_size=4),
)
def test_a_log_is_written_once_however_often_the_connection_breaks(
    pieces: list[str], breaks: list[int]
) -> None:
    written: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("launch.jobs.follow._FIRST_PAUSE", 0.0)
        server = JobServer("http://x", Breaking(pieces, breaks), "0")
        found = follow(server, "a-1", written.append)
    assert "".join(written) == "".join(pieces)
    assert found.status == "SUCCEEDED"
