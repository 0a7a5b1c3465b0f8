"""Which clusters have an autoscaler of version 1 that could start nodes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from autoshrink_ray.autoscaler import has_node_types

NODE = "node_" + "0f" * 28
"""What the autoscaler of a cluster that was put together by hand calls a node."""


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (None, False),
        ({}, False),
        ({"active_nodes": {}}, False),
        ({"active_nodes": {NODE: 1}}, False),
        ({"active_nodes": {"ray.head.default": 1}}, True),
        ({"active_nodes": {"node_pool": 2}}, True),
    ],
)
def test_an_autoscaler_that_was_given_types_is_one(report: Any, expected: bool) -> None:
    assert has_node_types(json.dumps({"autoscaler_report": report}).encode()) == expected


def test_a_cluster_without_any_word_of_one_has_none() -> None:
    assert not has_node_types(None)
