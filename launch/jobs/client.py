"""A cluster's job server, with one clear message for each way in which it can be out of reach."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from autoshrink_ray.errors import ConfigError, UsageError
from launch.jobs.attempts import Job

_PATIENCE = 10.0
"""Seconds in which a job server has to accept a connection."""

_PORT = 8265
_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Where Ray's client looks for an address first, whatever address it was given."""

_LOGGERS = (
    *("ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"),
    "ray._private.runtime_env.packaging",
)
_BUSY = re.compile(r"status code 50[234]\b")
"""How Ray's client tells that something before the server had no answer from it."""

_REMEDY = (
    "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file with the cluster's token "
    "(docs/jobs.md says where it is)"
)


class UnreachableError(UsageError):
    """No job server answers at the address, at least not now."""


def server_address(given: str | None) -> str:
    """The URL of a job server.

    Args:
        given: What the user gave; None looks into the environment as Ray does, and else takes
            this machine's usual port.

    Raises:
        ConfigError: If it is another kind of address.
    """
    found = given or next(filter(None, map(os.environ.get, _VARIABLES)), None)
    if found is None:
        return f"http://127.0.0.1:{_PORT}"
    url = found if "://" in found else f"http://{found}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    known = parts.scheme in {"http", "https"} and parts.hostname and found != "auto"
    if not known or port == 0:
        origin = "--address" if given else "the address in the environment"
        raise ConfigError(
            f"{origin} is that of the cluster's dashboard, such as http://127.0.0.1:{_PORT}, "
            f"got {found!r}"
        )
    host = parts.netloc if port or "https://" in found else f"{parts.netloc}:{_PORT}"
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


@dataclass(frozen=True)
class JobServer:
    """What a cluster's job server can be asked.

    Attributes:
        address: Its URL.
        client: Ray's client for it.
        ray_version: Ray's release on the cluster.
    """

    address: str
    client: Any
    ray_version: str

    @classmethod
    def at(cls, given: str | None) -> JobServer:
        """A connection to a job server.

        Args:
            given: Its address, see `server_address`.

        Raises:
            ConfigError: If the address is none of a job server, or the token is missing or wrong.
            UnreachableError: If nothing answers there.
        """
        address = server_address(given)
        _require_answer(address)
        _warn_of_plain_text(address)
        _send_token_if_there_is_one()
        from ray.job_submission import JobSubmissionClient

        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)  # what is sent is said by us
        with _explained(address), _without(_VARIABLES):
            client = JobSubmissionClient(address)
        if client._ssl_context is None:
            client._ssl_context = True  # means the same to aiohttp, which warns of None
        return cls(address, client, str(client._server_ray_version))

    def jobs(self) -> list[Job]:
        """All jobs that were submitted to the cluster, the oldest first."""
        with _explained(self.address):
            details = self.client.list_jobs()
        found = [Job.of(item) for item in details if item.submission_id]
        return sorted(found, key=lambda job: (job.started or 0, job.id))

    def job(self, job_id: str) -> Job:
        """One of them as it is now."""
        with _explained(self.address):
            return Job.of(self.client.get_job_info(job_id))

    def submit(
        self, job_id: str, entrypoint: str, runtime_env: dict[str, Any], metadata: Mapping[str, str]
    ) -> None:
        """Sends a job with its code; no resources are asked for, so it runs on the head.

        Raises:
            ConfigError: If the server refuses it.
        """
        with _explained(self.address):
            self.client.submit_job(
                entrypoint=entrypoint,
                submission_id=job_id,
                runtime_env=runtime_env,
                metadata=dict(metadata),
            )

    def stop(self, job_id: str) -> bool:
        """Asks a job to stop; whether it was running."""
        with _explained(self.address):
            return bool(self.client.stop_job(job_id))

    def log(self, job_id: str) -> str:
        """All that a job has printed so far."""
        with _explained(self.address):
            return str(self.client.get_job_logs(job_id))

    async def tail(self, job_id: str) -> AsyncIterator[str]:
        """What a job prints, from its beginning, piece by piece as it comes.

        Raises:
            UnreachableError: If the connection is lost.
        """
        import aiohttp

        try:
            async for piece in self.client.tail_job_logs(job_id):
                yield piece
        except (OSError, RuntimeError, aiohttp.ClientError) as error:
            raise UnreachableError(f"lost the connection to {self.address}: {error}") from error


def _require_answer(address: str) -> None:
    parts = urlsplit(address)
    port = parts.port or 443  # of https alone: any other address names its port
    try:
        socket.create_connection((str(parts.hostname), port), _PATIENCE).close()
    except (OSError, UnicodeError) as error:
        raise UnreachableError(
            f"no job server answers at {address}: {error}; give --address of the cluster's "
            f"dashboard, or open a tunnel to it first: `ray dashboard cluster.yaml`, or "
            f"`kubectl port-forward service/NAME-head-svc {_PORT}:{_PORT}`"
        ) from error


def _warn_of_plain_text(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        sys.stderr.write(
            f"note: the cluster's token and the code go to {parts.hostname} unencrypted: through a "
            f"tunnel, or https://, nobody on the way can read them\n"
        )


def _send_token_if_there_is_one() -> None:
    """Ray's client sends a token only in the mode for it, which an address given does not start."""
    usual = Path("~/.ray/auth_token").expanduser()
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if given or usual.is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


@contextmanager
def _without(variables: tuple[str, ...]) -> Iterator[None]:
    before = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turns what Ray's client raises into one message with a remedy."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        if "Missing authentication token" in str(error):
            raise ConfigError(
                f"{address} asks for a token and none was sent (401): {_REMEDY}"
            ) from error
        if "Forbidden" in str(error):
            raise ConfigError(
                f"{address} does not take the token that was sent (403): {_REMEDY}"
            ) from error
        raise ConfigError(f"no token to send to {address}: {_REMEDY}") from error
    except requests.exceptions.Timeout as error:
        raise UnreachableError(f"the job server at {address} does not answer in time") from error
    except (requests.exceptions.ConnectionError, ConnectionError) as error:
        raise UnreachableError(
            f"what listens at {address} is no job server: it does not speak HTTP, or went away; "
            f"the dashboard's port is usually {_PORT}, and 6379 is the cluster's own"
        ) from error
    except (requests.exceptions.RequestException, RuntimeError, LookupError, ValueError) as error:
        said = " ".join(str(error).split())[:500]
        if _BUSY.search(said):
            raise UnreachableError(f"the job server at {address} fails: {said}") from error
        raise ConfigError(f"the job server at {address} refuses: {said}") from error
