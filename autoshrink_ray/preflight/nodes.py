"""Asking every node that may hold a trial, all at once and with patience."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoshrink_ray.packing import Shape, capacity
from autoshrink_ray.preflight import there

if TYPE_CHECKING:
    from autoshrink_ray.cluster import Resources

PATIENCE = 60.0
"""Seconds in which every node has to answer; a worker process may have to start there."""

_PROGRESS = 5.0
"""Seconds between two words on nodes that have not answered."""


@dataclass(frozen=True)
class Node:
    """A node that is alive.

    Attributes:
        id: Ray's identifier of it, hexadecimal.
        name: What people call it: host, address and the identifier's beginning.
        resources: Its total resources.
    """

    id: str
    name: str
    resources: Mapping[str, float]

    def fits(self, trial: Resources) -> bool:
        """Whether it could hold a trial if nothing else ran on it."""
        return capacity(trial.shape(), Shape.of(self.resources)) > 0


@dataclass(frozen=True)
class Report:
    """What a node said.

    Attributes:
        node: The node.
        host: Its host name, as its processes see it.
        releases: Releases of Python and packages by name.
        missing: Modules that it cannot import.
        probes: Why a storage cannot be used, by the storage's number.
        files: Why a file cannot be read, by the file's number.
        silent: Why it said nothing; empty if it did.
    """

    node: Node
    host: str = ""
    releases: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    probes: Mapping[int, str] = field(default_factory=dict)
    files: Mapping[int, str] = field(default_factory=dict)
    silent: str = ""


def nodes() -> list[Node]:
    """Nodes that are alive, in a fixed order."""
    import ray

    alive = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda n: n["NodeID"])
    return [Node(node["NodeID"], _name(node), node["Resources"]) for node in alive]


def _name(node: Mapping[str, Any]) -> str:
    host, address = node["NodeManagerHostname"], node["NodeManagerAddress"]
    return f"{host} ({address}, {node['NodeID'][:8]})"


def ask(
    asked: Sequence[Node],
    question: Mapping[str, Any],
    note: Callable[[str], None],
    patience: float = PATIENCE,
) -> list[Report]:
    """Asks nodes to look around.

    Args:
        asked: The nodes.
        question: Arguments of `there.look` but for `mine`, which is the node's identifier.
        note: Told which nodes let everybody wait.
        patience: Seconds in which all have to answer.

    Returns:
        A report of each node that is still there, in their order.
    """
    import ray

    with _sent_as_code():
        waiting = {_look_at(node, question): node for node in asked}
    reports: dict[str, Report] = {}
    started = told = time.monotonic()
    while waiting and time.monotonic() < started + patience:
        ready, _ = ray.wait(list(waiting), num_returns=1, timeout=0.5)
        for reference in ready:
            node = waiting.pop(reference)
            reports[node.id] = _report(node, reference)
        if waiting and time.monotonic() > told + _PROGRESS:
            told = time.monotonic()
            note(f"waiting for an answer of {len(waiting)} nodes: {_listed(waiting.values())}")
    for reference, node in waiting.items():
        ray.cancel(reference, force=True)
        reports[node.id] = Report(node, silent=f"no answer within {patience:.0f} s")
    silent = any(report.silent for report in reports.values())
    alive = {node.id for node in nodes()} if silent else reports.keys()
    return [reports[node.id] for node in asked if node.id in alive]


@contextmanager
def _sent_as_code() -> Iterator[None]:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(there)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(there)


def _look_at(node: Node, question: Mapping[str, Any]) -> Any:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there_only = NodeAffinitySchedulingStrategy(node.id, soft=False)
    look = ray.remote(num_cpus=0, max_retries=1)(there.look)
    return look.options(scheduling_strategy=there_only).remote(**question, mine=node.id)


def _report(node: Node, reference: Any) -> Report:
    import ray
    from ray.exceptions import RayError

    try:
        return Report(node, **ray.get(reference))
    except RayError as error:
        return Report(node, silent=" ".join(str(error).split())[:300])


def _listed(waiting: Any) -> str:
    names = sorted(node.name for node in waiting)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
