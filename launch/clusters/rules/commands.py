"""Commands that start Ray on the machines of a `ray up` file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from launch.clusters.document import Document, Kind, items
from launch.clusters.rule import Fault, rule
from launch.clusters.rules.access import START, starts


@rule(Kind.RAY_UP)
def starts_nothing(document: Document) -> Iterator[Fault]:
    """A node whose commands do not start Ray waits and is paid for."""
    for kind in START:
        if kind in document.body and not list(starts(document, kind)):
            yield Fault(kind, "does not start Ray", "write a ray start command")


@rule(Kind.RAY_UP)
def old_ray_first(document: Document) -> Iterator[Fault]:
    """`ray up` on a running cluster restarts it: the old Ray has to stop first."""
    for kind in START:
        lines = items(document.body.get(kind))
        if lines and not re.match(r"\s*ray\s+stop\b", str(lines[0])):
            yield Fault(f"{kind}[0]", "does not stop an older Ray", "write ray stop first")


@rule(Kind.RAY_UP)
def no_autoscaler(document: Document) -> Iterator[Fault]:
    """A head that is not given the cluster's configuration starts no workers."""
    for path, line in starts(document, START[0]):
        if "--autoscaling-config" not in line:
            yield Fault(
                path,
                "the head does not scale",
                "write --autoscaling-config=~/ray_bootstrap_config.yaml",
            )


@rule(Kind.RAY_UP)
def port_differs(document: Document) -> Iterator[Fault]:
    """Workers have to look for the head at the port where it listens."""
    port = next((_port(line, r"--port[=\s]+") for _, line in starts(document, START[0])), None)
    for path, line in starts(document, START[1]):
        found = _port(line, r"--address[=\s]+[\"']?\$\{?RAY_HEAD_IP\}?:")
        if found is None or (port or "6379") != found:
            yield Fault(
                path,
                f"does not join the head at $RAY_HEAD_IP:{port or 6379}",
                f"write --address=$RAY_HEAD_IP:{port or 6379}",
            )


def _port(line: str, before: str) -> str | None:
    found = re.search(rf"(?<!\S){before}(\d+)", line)
    return found[1] if found else None
