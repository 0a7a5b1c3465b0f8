"""How many nodes of which kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from launch.clusters.document import KUBERNETES, Document, Kind, at, items, mapping, number
from launch.clusters.rule import Fault, Level, rule
from launch.clusters.workers import workers


def _head(document: Document) -> tuple[str, Mapping[str, Any]]:
    """The head's node type of a `ray up` file, and where it stands."""
    name = document.body.get("head_node_type")
    types = mapping(document.body.get("available_node_types"))
    return f"available_node_types.{name}", mapping(types.get(str(name)))


@rule(Kind.RAY_UP)
def head_type(document: Document) -> Iterator[Fault]:
    """The head's type has to be one of the node types."""
    name = document.body.get("head_node_type")
    types = mapping(document.body.get("available_node_types"))
    if isinstance(name, str) and types and name not in types:
        yield Fault("head_node_type", f"no such node type: {name!r}", "name one of those there are")


@rule()
def min_above_max(document: Document) -> Iterator[Fault]:
    """The fewest workers of a type cannot be more than the most."""
    for worker in workers(document):
        if worker.high is not None and worker.low > worker.high:
            yield Fault(
                worker.path,
                f"at least {worker.low:g} workers and at most {worker.high:g}",
                "lower the first or raise the second",
            )


@rule(Kind.RAY_UP)
def too_few_in_all(document: Document) -> Iterator[Fault]:
    """The most workers in all cannot be fewer than the types' fewest together."""
    most = number(document.body.get("max_workers"))
    least = sum(worker.low for worker in workers(document))
    if most is not None and least > most:
        yield Fault(
            "max_workers", f"{most:g}, and the types ask for {least:g} at least", "raise it"
        )


@rule(*KUBERNETES)
def replicas_outside(document: Document) -> Iterator[Fault]:
    """A group's replicas have to lie between its fewest and its most."""
    path = f"{document.cluster_path}workerGroupSpecs"
    for place, worker in enumerate(workers(document)):
        now = number(at(items(document.cluster.get("workerGroupSpecs")), place, "replicas"))
        if now is None or worker.high is None or worker.low > worker.high:
            continue
        if not worker.low <= now <= worker.high:
            yield Fault(
                f"{path}[{place}].replicas",
                f"{now:g} is not between {worker.low:g} and {worker.high:g}",
                "set it to the fewest: the autoscaler changes it",
            )


@rule()
def head_runs_trials(document: Document) -> Iterator[Fault]:
    """A trial on the head takes memory from the driver and the cluster's state."""
    if document.kind is Kind.RAY_UP:
        path, head = _head(document)
        cpus = at(head, "resources", "CPU")
        if head and (number(cpus) != 0 or number(at(head, "resources", "GPU")) or 0):
            yield Fault(f"{path}.resources", "the head runs trials", "set it to {CPU: 0}")
    else:
        start = mapping(at(document.cluster, "headGroupSpec", "rayStartParams"))
        if number(start.get("num-cpus")) != 0:
            yield Fault(
                f"{document.cluster_path}headGroupSpec.rayStartParams.num-cpus",
                "the head runs trials",
                'set it to "0"',
            )


@rule(Kind.RAY_UP)
def head_on_spot(document: Document) -> Iterator[Fault]:
    """A head that is taken away takes the driver and the cluster with it."""
    path, head = _head(document)
    if at(head, "node_config", "InstanceMarketOptions") is not None:
        yield Fault(
            f"{path}.node_config.InstanceMarketOptions", "the head is a spot machine", "remove it"
        )


@rule(Kind.RAY_UP)
def head_as_worker(document: Document) -> Iterator[Fault]:
    """Without an own limit of 0, workers of the head's type are started."""
    path, head = _head(document)
    if head and number(head.get("max_workers")) != 0:
        yield Fault(f"{path}.max_workers", "workers of the head's type may start", "set it to 0")


@rule(level=Level.WARNING)
def spot_alone(document: Document) -> Iterator[Fault]:
    """A run waits for ever where no spot machine can be had and nothing else is allowed."""
    on_gpu = [worker for worker in workers(document) if worker.gpus]
    for worker in on_gpu:
        steady = any(not other.spot and other.gpus >= worker.gpus for other in on_gpu)
        if worker.spot and not steady:
            yield Fault(
                worker.path,
                "spot machines without an on-demand type to fall back on",
                "add the same type without spot",
            )


@rule(level=Level.WARNING)
def slow_growth(document: Document) -> Iterator[Fault]:
    """A round's candidates wait together; nodes that come one by one let them wait longer."""
    if document.kind is Kind.RAY_UP:
        speed = number(document.body.get("upscaling_speed"))
        if speed is not None and speed < 1:
            yield Fault("upscaling_speed", f"{speed:g} starts nodes one by one", "set it to 10")
    elif at(document.cluster, "autoscalerOptions", "upscalingMode") == "Conservative":
        yield Fault(
            f"{document.cluster_path}autoscalerOptions.upscalingMode",
            "Conservative starts nodes in small steps",
            "set it to Default",
        )


@rule(level=Level.WARNING)
def slow_release(document: Document) -> Iterator[Fault]:
    """Workers that wait long after their last trial are paid for."""
    if document.kind is Kind.RAY_UP:
        path, minutes = "idle_timeout_minutes", number(document.body.get("idle_timeout_minutes"))
    else:
        path = f"{document.cluster_path}autoscalerOptions.idleTimeoutSeconds"
        seconds = number(at(document.cluster, "autoscalerOptions", "idleTimeoutSeconds"))
        minutes = None if seconds is None else seconds / 60
    if minutes is not None and minutes > 60:
        yield Fault(path, f"idle workers stay for {minutes:g} minutes", "5 minutes are enough")
