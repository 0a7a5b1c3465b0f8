"""Asking a cluster's head who it is, before Ray joins it.

Ray itself takes 20 s to say "failed to connect" to a wrong token, ends the process without an
exception where a token is asked for and missing, and waits 40 s for a port that says nothing.
Here the head is asked one question with a time limit.
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass

from autoshrink_ray.preflight.faults import (
    NO_ADDRESS,
    NO_TOKEN,
    OTHER_PYTHON,
    OTHER_RAY,
    SILENT,
    WRONG_TOKEN,
)

PATIENCE = 10.0
"""Seconds in which a head node has to answer."""


@dataclass(frozen=True)
class Releases:
    """What takes part on one side.

    Attributes:
        ray: Release of Ray.
        python: Release of Python.
    """

    ray: str
    python: str

    @classmethod
    def here(cls) -> Releases:
        """Of this process."""
        import ray

        return cls(ray.__version__, platform.python_version())


def require_joinable(address: str) -> Releases:
    """Checks that a driver like this one may join a cluster.

    Args:
        address: HOST:PORT of the head node, or `auto`.

    Returns:
        The cluster's releases, which are this process's.

    Raises:
        ConfigError: If nothing answers there, the token is missing or wrong, or the cluster runs
            another Ray or Python.
    """
    place = _host_and_port(address)
    _require_token(address)
    there = _ask(address, place)
    require_same_releases(address, there, Releases.here())
    return there


def require_same_releases(address: str, there: Releases, here: Releases) -> None:
    """Checks what Ray checks when a driver joins: both sides are the same to the last digit.

    Raises:
        ConfigError: If they are not.
    """
    if there.ray != here.ray:
        raise OTHER_RAY.error(address=address, there=there.ray, here=here.ray)
    if there.python != here.python:
        raise OTHER_PYTHON.error(address=address, there=there.python, here=here.python)


def _host_and_port(address: str) -> str:
    from ray._private.services import canonicalize_bootstrap_address

    if address == "auto":
        try:
            found = canonicalize_bootstrap_address("auto")
        except ConnectionError as error:
            raise SILENT.error(address=address, reason="none runs on this machine") from error
        if not found:
            raise SILENT.error(address=address, reason="none runs on this machine")
        return str(found)
    host, _, port = address.rpartition(":")
    if (
        not host
        or "://" in address
        or not (port.isascii() and port.isdigit())
        or not 0 < int(port) < 2**16
    ):
        raise NO_ADDRESS.error(address=address)
    return address


def _require_token(address: str) -> None:
    """Where the mode says so, there is one; asking without it would end this process."""
    from ray._private.authentication.authentication_token_setup import (
        ensure_token_if_auth_enabled,
        maybe_enable_token_auth_if_token_available,
    )
    from ray.exceptions import AuthenticationError

    try:
        if address == "auto":  # as Ray does: only a cluster of this machine turns the mode on
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        ensure_token_if_auth_enabled(create_token_if_missing=False)
    except AuthenticationError as error:
        raise NO_TOKEN.error(address=address) from error


def _ask(address: str, place: str) -> Releases:
    import grpc  # type: ignore[import-untyped]
    from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
    from ray._private.gcs_utils import create_gcs_channel
    from ray._private.ray_constants import KV_NAMESPACE_CLUSTER
    from ray.core.generated.gcs_service_pb2 import InternalKVGetRequest
    from ray.core.generated.gcs_service_pb2_grpc import InternalKVGcsServiceStub

    request = InternalKVGetRequest(key=CLUSTER_METADATA_KEY, namespace=KV_NAMESPACE_CLUSTER)
    channel = create_gcs_channel(place)
    try:
        reply = InternalKVGcsServiceStub(channel).InternalKVGet(request, timeout=PATIENCE)
        found = json.loads(reply.value)
        return Releases(ray=found["ray_version"], python=found["python_version"])
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNAUTHENTICATED:
            raise (WRONG_TOKEN if _shows_token() else NO_TOKEN).error(address=address) from error
        raise SILENT.error(
            address=address, reason=_reason(error.code().name, str(error.details()))
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        reason = "what answers there does not say which Ray it is"
        raise SILENT.error(address=address, reason=reason) from error
    finally:
        channel.close()


def _shows_token() -> bool:
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    return bool(is_token_auth_enabled())


def _reason(code: str, details: str) -> str:
    """What gRPC says, in the words of somebody who typed an address."""
    if code == "DEADLINE_EXCEEDED":
        return f"nothing came back within {PATIENCE:.0f} s; is it the head node's port (6379)?"
    if code == "UNIMPLEMENTED":
        return "what listens there is no head node; is it the head node's port (6379)?"
    return " ".join(details.split())
