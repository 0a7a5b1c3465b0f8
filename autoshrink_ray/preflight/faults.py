"""What a preflight can find wrong, and what helps against it; `docs/preflight.md` shows them."""

from __future__ import annotations

from dataclasses import dataclass

from autoshrink_ray.errors import ConfigError, DataError, StorageError, UsageError


@dataclass(frozen=True)
class Fault:
    """One thing that can be wrong.

    Attributes:
        check: The check that finds it.
        message: What is wrong; names in braces are filled in.
        remedy: What helps.
        kind: The error that says so.
    """

    check: str
    message: str
    remedy: str
    kind: type[UsageError] = ConfigError

    def error(self, **values: object) -> UsageError:
        """The error with the values that broke the rule; it ends with the remedy."""
        return self.kind(f"{self.message.format(**values)}; {self.remedy.format(**values)}")


NO_ADDRESS = Fault(
    "joining",
    "no Ray cluster answers at {address!r}: an address is HOST:PORT of a head node or `auto`",
    "give --address HOST:6379, or nothing for this machine; a driver that cannot reach that port "
    "runs on the head as a job",
)
SILENT = Fault(
    "joining",
    "no Ray cluster answers at {address!r}: {reason}",
    "give --address HOST:PORT of a running head node, `auto`, or nothing for this machine",
)
NO_TOKEN = Fault(
    "joining",
    "the Ray cluster at {address!r} asks for a token, and this process has none to show",
    "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to a file with the cluster's token "
    "(or RAY_AUTH_TOKEN to the token itself)",
)
WRONG_TOKEN = Fault(
    "joining",
    "the Ray cluster at {address!r} does not take the token of this process",
    "copy the token file of the head node (~/.ray/auth_token by default) to where "
    "RAY_AUTH_TOKEN_PATH points; a RAY_AUTH_TOKEN that is set comes before the file",
)
OTHER_RAY = Fault(
    "joining",
    "the cluster at {address!r} runs Ray {there} and this process Ray {here}",
    "both sides are the same to the last digit: install the pinned project on every node, or "
    "start the cluster from its image",
)
OTHER_PYTHON = Fault(
    "joining",
    "the cluster at {address!r} runs Python {there} and this process Python {here}",
    "both sides are the same to the last digit, since code and data travel in Python's own "
    "format: use the image of the cluster here too, or send the driver there as a job",
)
OTHER_NODE = Fault(
    "nodes",
    "node {node} has {package} {there} and this process has {here}",
    "install the same release on every node (a common image does that)",
)
NOT_IMPORTABLE = Fault(
    "nodes",
    "node {node} cannot import {modules}",
    "install the project and the modules of --plugin on every node, or put their folder on "
    "PYTHONPATH there",
)
NO_ANSWER = Fault(
    "nodes",
    "node {node} did not start a worker process to be asked: {reason}",
    "look into the node's log folder (/tmp/ray/session_latest/logs), or take the node away",
)
OTHER_DISK = Fault(
    "storage",
    "storage {location} is not the same place on node {node}: {reason}",
    "several machines share a storage: a network file system that all of them mount at this path, "
    "or an object store such as s3://bucket/runs; give it as --storage",
    StorageError,
)
NO_RIGHTS = Fault(
    "storage",
    "node {node} cannot use the storage {location}: {reason}",
    "give every node the right to list, read, write and delete there (on AWS an instance profile, "
    "elsewhere credentials in the environment of `ray start`)",
    StorageError,
)
NO_DATA = Fault(
    "data",
    "node {node} cannot read {file}: {reason}",
    "workers of a training read such data themselves: put them where every node finds them under "
    "the same path, or into an object store",
    DataError,
)

FAULTS = (
    *(NO_ADDRESS, SILENT, NO_TOKEN, WRONG_TOKEN, OTHER_RAY, OTHER_PYTHON),
    *(OTHER_NODE, NOT_IMPORTABLE, NO_ANSWER, OTHER_DISK, NO_RIGHTS, NO_DATA),
)
"""All of them, in the order of the checks."""
