"""Storage that cannot be reached for a time: a real S3 server behind a line that is cut."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autoshrink_ray import run_search, storage
from autoshrink_ray.errors import StorageError
from autoshrink_ray.preflight import there
from autoshrink_ray.preflight.storage import probes
from autoshrink_ray.preflight.there import DRIVERS, UNSEEN, look
from autoshrink_ray.storage import Folder, join
from tests.core.processes import table
from tests.core.runs import Notes, decisions, results

PATIENCE = storage.PATIENCE


def free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Line:
    """Passes on what comes in at `port` to another port, until it is cut.

    Args:
        target: That other port.
    """

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.mend()

    def cut(self) -> None:
        """Ends all connections and refuses new ones."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()

    def mend(self) -> None:
        """Takes connections again."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def cut_for(self, seconds: float) -> None:
        """Cuts the line and mends it after a time."""
        self.cut()
        threading.Timer(seconds, self.mend).start()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {writer, back}
        await asyncio.gather(self._pass_on(reader, back), self._pass_on(there, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while content := await reader.read(65536):
                writer.write(content)
                await writer.drain()
            writer.close()
        except OSError:
            writer.transport.abort()


def started(port: int) -> subprocess.Popen[bytes]:
    """An S3 server in a process of its own, ready to answer."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except OSError:
            assert process.poll() is None, "the S3 server does not start"
            time.sleep(0.1)
        else:
            return process


def uri(line: Line, path: str) -> str:
    options = f"scheme=http&endpoint_override=127.0.0.1:{line.port}&region=us-east-1"
    return f"s3://bucket/{path}?{options}&allow_bucket_creation=true"


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    """The line to an S3 server with a bucket."""
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        process = started(port)
        made = Line(port)
        Folder(uri(made, "")).filesystem.create_dir("bucket")
        yield made
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def patient(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As users have it."""
    monkeypatch.setattr(storage, "PATIENCE", PATIENCE)


def test_a_run_waits_until_its_storage_can_be_reached_again(line: Line, tmp_path: Path) -> None:
    expected = run_search(table(tmp_path / "undisturbed"))
    config = table(tmp_path).model_copy(update={"storage": uri(line, "runs")})
    run = run_search(config, observers=[Notes(at=3, action=lambda: line.cut_for(30.0))])
    assert decisions(run) == decisions(expected)
    assert results(run) == results(expected)


def test_patience_ends_with_a_message(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(uri(line, "patience"))
    folder.write("there", b"before")
    line.cut()
    with monkeypatch.context() as patch:
        patch.setattr(storage, "PATIENCE", 0.5)
        with pytest.raises(StorageError, match="cannot read bucket/patience/there"):
            folder.read("there")
    line.mend()
    assert folder.read("there") == b"before"


def test_a_probe_of_an_object_store_is_read_both_ways_and_gone(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node with rights sees it, and as one whose storage has another name does."""
    monkeypatch.setattr(there, "DELAY", 0.2)
    asked: dict[str, Any] = {"modules": (), "packages": (), "files": (), "mine": "node"}
    with probes([uri(line, "runs")]) as (probe,):
        other = join(uri(line, "other"), "probe")
        places = [probe.folder.location, other]
        answer = look(probes=places, content=probe.content, **asked)
        assert answer["probes"] == {1: UNSEEN}
        assert probe.unlike(["node"]) == {}
        left = probe.folder
    assert not left.exists(DRIVERS)
    assert not left.exists("node")
