"""Watching a job: its log as it grows, and its end, over connections that may break."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

from autoshrink_ray.errors import RunError
from launch.jobs.attempts import Job
from launch.jobs.client import JobServer, UnreachableError

PATIENCE = 300.0
"""Seconds without a connection after which watching ends; the job does not care."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 10.0
"""Seconds between two tries; the pause doubles."""


def follow(server: JobServer, job_id: str, write: Callable[[str], None]) -> Job:
    """Writes a job's log as it grows.

    Args:
        server: Where the job is.
        job_id: Which job.
        write: Takes pieces of the log, each once, in order.

    Returns:
        The job once it has ended.

    Raises:
        ConfigError: If the server does not know the job, or not any more.
        RunError: If the server was out of reach for `PATIENCE` seconds.
    """
    written = 0
    patience = _Patience()
    while True:
        before = written
        lost: UnreachableError = UnreachableError(f"{server.address} ends the log of {job_id}")
        try:
            written = asyncio.run(_tail(server, job_id, write, written))
        except _LostError as error:
            written, lost = error.written, error
        try:
            job = server.job(job_id)
            if not job.active:
                rest = server.log(job_id)[written:]
                if rest:
                    write(rest)
                return job
        except UnreachableError as error:
            lost = error
        if written > before:
            patience = _Patience()
        patience.spend(lost)


def ended(server: JobServer, job_id: str, poll: float = 1.0) -> Job:
    """Waits until a job has ended.

    Args:
        server: Where the job is.
        job_id: Which job.
        poll: Seconds between two looks.

    Raises:
        RunError: If the server was out of reach for `PATIENCE` seconds.
    """
    patience = _Patience()
    while True:
        try:
            job = server.job(job_id)
        except UnreachableError as error:
            patience.spend(error)
            continue
        if not job.active:
            return job
        patience = _Patience()
        time.sleep(poll)


class _LostError(UnreachableError):
    """A connection broke after `written` characters of the log."""

    def __init__(self, error: Exception, written: int) -> None:
        super().__init__(str(error))
        self.written = written


async def _tail(server: JobServer, job_id: str, write: Callable[[str], None], written: int) -> int:
    """Writes what follows the first `written` characters; how many there are after that."""
    seen = 0  # a new connection starts with the log's beginning
    try:
        async with aclosing(server.tail(job_id)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                new = piece[max(0, written - seen) :]
                seen += len(piece)
                if new:
                    write(new)
                    written = seen
    except UnreachableError as error:
        raise _LostError(error, written) from error
    return written


class _Patience:
    """Pauses that grow, until there have been enough of them."""

    def __init__(self) -> None:
        self._pause = _FIRST_PAUSE
        self._deadline = time.monotonic() + PATIENCE

    def spend(self, error: Exception) -> None:
        if time.monotonic() + self._pause > self._deadline:
            raise RunError(
                f"{error}; the job goes on without being watched: `autoshrink-ray status` and "
                f"`logs -f` find it again"
            ) from error
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
