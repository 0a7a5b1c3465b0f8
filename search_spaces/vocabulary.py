"""The operations a space offers, and the check that a cell uses no others."""

from __future__ import annotations

from collections.abc import Collection

from autoshrink_ray.errors import TopologyError, choices
from autoshrink_ray.topology import Topology


def check_cell(topology: Topology, vocabulary: Collection[str]) -> None:
    """Checks that a network can be built from `topology`.

    Node 0 applies no operation, so its name is not looked at.

    Raises:
        TopologyError: If an operation is not in `vocabulary`, or no edge leaves node 0.
    """
    for node, op in enumerate(topology.ops[1:], start=1):
        if op not in vocabulary:
            raise TopologyError(
                f"the operation of node {node} is one of {choices(vocabulary)}; got {op!r}"
            )
    if topology.leaves == (0,):
        raise TopologyError(
            f"a cell has at least one edge that leaves node 0, got {list(topology.edges)}"
        )
