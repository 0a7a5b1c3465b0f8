"""Decisions as plain data, for programs."""

from __future__ import annotations

from typing import Any

from autoshrink_ray.records import Decision
from autoshrink_ray.table import COUNTS


def round_dict(decision: Decision) -> dict[str, Any]:
    """How a round ended."""
    parent = decision.parent.edges if decision.parent else None
    return {
        "round": decision.round,
        "parent_edges": parent,
        "removed": decision.removed,
        "edges": decision.topology.edges,
        "score": decision.score,
        **_metrics(decision),
    }


def best_dict(decision: Decision | None) -> dict[str, Any] | None:
    """The best cell; None before the first decision."""
    if decision is None:
        return None
    return {
        "search": decision.search,
        "round": decision.round,
        "score": decision.score,
        **_metrics(decision),
        "nodes": decision.topology.nodes,
        "ops": decision.topology.ops,
        "edges": decision.topology.edges,
        "key": decision.topology.key,
    }


def _metrics(decision: Decision) -> dict[str, float]:
    """Metrics, counts as whole numbers."""
    return {
        name: int(value) if name in COUNTS else value for name, value in decision.metrics.items()
    }
