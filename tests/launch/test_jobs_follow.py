"""Following a job's log over a real WebSocket that breaks."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator

import pytest
import ray
from aiohttp import web

from launch.jobs.client import JobServer
from launch.jobs.follow import follow

LINES = ["one\n", "two\n", "three\n"]


class Head:
    """What of a job server following needs; the first connection breaks before the last line."""

    def __init__(self) -> None:
        self.connections = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/version", self.version),
                web.get("/api/jobs/a-1", self.info),
                web.get("/api/jobs/a-1/logs", self.logs),
                web.get("/api/jobs/a-1/logs/tail", self.tail),
            ]
        )
        return app

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"ray_version": ray.__version__})

    async def info(self, request: web.Request) -> web.Response:
        status = "RUNNING" if self.connections < 2 else "SUCCEEDED"
        job = {"type": "SUBMISSION", "submission_id": "a-1", "entrypoint": "x", "status": status}
        return web.json_response(job)

    async def logs(self, request: web.Request) -> web.Response:
        return web.json_response({"logs": "".join(LINES)})

    async def tail(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        for line in LINES[:-1]:
            await socket.send_str(line)
        if self.connections < 2 and request.transport is not None:
            request.transport.abort()
        else:
            await socket.send_str(LINES[-1])
            await socket.close()
        return socket


@pytest.fixture
def head() -> Iterator[tuple[Head, str]]:
    """It and its address."""
    found = Head()
    loop = asyncio.new_event_loop()
    ports: queue.Queue[int] = queue.Queue()

    async def serve() -> web.AppRunner:
        runner = web.AppRunner(found.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.put(runner.addresses[0][1])
        return runner

    def run() -> None:
        runner = loop.run_until_complete(serve())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    yield found, f"http://127.0.0.1:{ports.get(timeout=30)}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_a_log_goes_on_where_its_connection_broke(head: tuple[Head, str]) -> None:
    server, address = head
    written: list[str] = []
    job = follow(JobServer.at(address), "a-1", written.append)
    assert written == LINES
    assert (job.status, server.connections) == ("SUCCEEDED", 2)
