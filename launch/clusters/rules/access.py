"""Who may reach the cluster: whoever reaches an open dashboard runs code on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from launch.clusters.document import KUBERNETES, Document, Kind, at, items, mapping
from launch.clusters.rule import Fault, rule

START = ("head_start_ray_commands", "worker_start_ray_commands")
_TOKEN = re.compile(r"(?<![\w])RAY_AUTH_MODE=token\s+(?:\w+=\S*\s+)*ray\s+start\b")
_EXPORTED = re.compile(r"\bexport\s+RAY_AUTH_MODE=token\s*(;|&&).*\bray\s+start\b", re.DOTALL)
_TOKEN_FILE = "~/.ray/auth_token"  # noqa: S105 - a path


def starts(document: Document, kind: str) -> Iterator[tuple[str, str]]:
    """Commands of a list that start Ray, and where they stand."""
    for place, line in enumerate(items(document.body.get(kind))):
        if isinstance(line, str) and re.search(r"\bray\s+start\b", line):
            yield f"{kind}[{place}]", line


@rule()
def token_mode(document: Document) -> Iterator[Fault]:
    """Without token authentication whoever reaches a port of the cluster runs code on it."""
    if document.kind is not Kind.RAY_UP:
        if at(document.cluster, "authOptions", "mode") != "token":
            yield Fault(
                f"{document.cluster_path}authOptions.mode",
                "no token is asked for",
                "set it to token",
            )
        return
    for kind in START:
        for path, line in starts(document, kind):
            if not (_TOKEN.search(line) or _EXPORTED.search(line)):
                yield Fault(
                    path, "starts Ray without a token", "write RAY_AUTH_MODE=token ray start ..."
                )


@rule(Kind.RAY_UP)
def token_file(document: Document) -> Iterator[Fault]:
    """With token authentication on, a node without the token cannot join."""
    if _TOKEN_FILE not in mapping(document.body.get("file_mounts")):
        yield Fault(
            "file_mounts",
            "no node gets the token",
            f'write "{_TOKEN_FILE}": "{_TOKEN_FILE}", and make it with '
            "ray get-auth-token --generate",
        )


@rule(Kind.RAY_UP)
def token_in_file(document: Document) -> Iterator[Fault]:
    """A token in the file is in its history, in process lists and in logs."""
    for kind in START:
        for path, line in starts(document, kind):
            if re.search(r"\bRAY_AUTH_TOKEN=", line):
                yield Fault(path, "holds the token itself", "give it to the nodes by file_mounts")


@rule()
def open_dashboard(document: Document) -> Iterator[Fault]:
    """The dashboard takes jobs: it is for loopback, or for the cluster's own network."""
    if document.kind is Kind.RAY_UP:
        for path, line in starts(document, START[0]):
            host = re.search(r"--dashboard-host[=\s]+(\S+)", line)
            if host is None or host[1].strip("\"'") not in ("127.0.0.1", "localhost"):
                yield Fault(
                    path, "the dashboard is not on loopback", "write --dashboard-host=127.0.0.1"
                )
        return
    head = mapping(document.cluster.get("headGroupSpec"))
    path = f"{document.cluster_path}headGroupSpec"
    if head.get("serviceType") in ("LoadBalancer", "NodePort"):
        yield Fault(
            f"{path}.serviceType", "the dashboard leaves the cluster", "set it to ClusterIP"
        )
    if head.get("enableIngress") is True:
        yield Fault(f"{path}.enableIngress", "the dashboard leaves the cluster", "remove it")


@rule(Kind.RAY_UP)
def open_security_group(document: Document) -> Iterator[Fault]:
    """To every security group that Ray fills, it adds port 22 for the whole world."""
    if at(document.body, "provider", "type") != "aws":
        return
    for name, one in mapping(document.body.get("available_node_types")).items():
        if not at(one, "node_config", "SecurityGroupIds"):
            yield Fault(
                f"available_node_types.{name}.node_config.SecurityGroupIds",
                "left to Ray, port 22 is open to the world",
                "name a security group of yours",
            )


@rule(Kind.RAY_UP)
def open_port(document: Document) -> Iterator[Fault]:
    """A port that the world reaches is found within minutes."""
    allowed = items(at(document.body, "provider", "security_group", "IpPermissions"))
    for place, one in enumerate(allowed):
        ranges = [at(found, "CidrIp") for found in items(at(one, "IpRanges"))]
        ranges += [at(found, "CidrIpv6") for found in items(at(one, "Ipv6Ranges"))]
        if any(str(found).endswith("/0") for found in ranges):
            yield Fault(
                f"provider.security_group.IpPermissions[{place}]",
                "is open to the world",
                "name your own network",
            )


@rule(*KUBERNETES)
def token_release(document: Document) -> Iterator[Fault]:
    """KubeRay takes authOptions only where rayVersion says 2.52 or newer."""
    if at(document.cluster, "authOptions", "mode") != "token":
        return
    if document.cluster.get("rayVersion") is None:
        yield Fault(
            f"{document.cluster_path}rayVersion", "is left out, and a token needs it", "set it"
        )
