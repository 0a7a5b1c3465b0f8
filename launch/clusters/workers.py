"""What both kinds of cluster file say of their workers, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launch.clusters.document import Document, Kind, at, items, mapping, number

_SPOT_LABELS = {
    "karpenter.sh/capacity-type": "spot",
    "cloud.google.com/gke-spot": "true",
    "eks.amazonaws.com/capacityType": "SPOT",
}


@dataclass(frozen=True)
class Worker:
    """Workers of one type.

    Attributes:
        path: Where they stand in the document.
        low: Fewest of them.
        high: Most of them; None if nobody says.
        cpus: CPUs of each; None if nobody says.
        gpus: GPUs of each.
        spot: Whether they may be taken away.
    """

    path: str
    low: float
    high: float | None
    cpus: float | None
    gpus: float
    spot: bool


def workers(document: Document) -> list[Worker]:
    """Types of workers."""
    if document.kind is Kind.RAY_UP:
        types = mapping(document.body.get("available_node_types"))
        head = document.body.get("head_node_type")
        return [_of_type(name, mapping(one)) for name, one in types.items() if name != head]
    return [
        _of_group(f"{document.cluster_path}workerGroupSpecs[{place}]", mapping(one))
        for place, one in enumerate(items(document.cluster.get("workerGroupSpecs")))
    ]


def container(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container of a group that Ray runs in: the first one."""
    return mapping(at(group, "template", "spec", "containers", 0))


def _of_type(name: str, one: Mapping[str, Any]) -> Worker:
    resources = mapping(one.get("resources"))
    return Worker(
        path=f"available_node_types.{name}",
        low=number(one.get("min_workers")) or 0,
        high=number(one.get("max_workers")),
        cpus=number(resources.get("CPU")),
        gpus=number(resources.get("GPU")) or 0,
        spot=at(one, "node_config", "InstanceMarketOptions", "MarketType") == "spot",
    )


def _of_group(path: str, group: Mapping[str, Any]) -> Worker:
    limits = mapping(at(container(group), "resources", "limits"))
    start = mapping(group.get("rayStartParams"))
    labels = mapping(at(group, "template", "spec", "nodeSelector"))
    return Worker(
        path=path,
        low=number(group.get("minReplicas")) or 0,
        high=number(group.get("maxReplicas")),
        cpus=number(start.get("num-cpus", _cores(limits.get("cpu")))),
        gpus=number(start.get("num-gpus", limits.get("nvidia.com/gpu"))) or 0,
        spot=any(str(labels.get(key)) == value for key, value in _SPOT_LABELS.items()),
    )


def _cores(amount: Any) -> float | None:
    """CPUs of a Kubernetes quantity: 4 or 4000m."""
    if isinstance(amount, str) and amount.endswith("m"):
        thousandths = number(amount[:-1])
        return None if thousandths is None else thousandths / 1000
    return number(amount)
