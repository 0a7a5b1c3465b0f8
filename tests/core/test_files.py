"""`*.cell.json`: read as it was written, or refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray import files
from autoshrink_ray.errors import FileFormatError
from autoshrink_ray.files import CellFile
from autoshrink_ray.topology import Topology
from tests.strategies import unpruned_topologies

CELL = CellFile.of(
    "cnn",
    Topology(("conv1x1", "sep3x3", "conv1x1"), ((0, 1), (1, 2))),
    score=0.75,
    metrics={"accuracy": 0.8, "macs": 1e6},
    provenance={"run": "demo", "search": 0, "round": 3},
)

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=10)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(
    space=names,
    topology=unpruned_topologies(("a", "b")),
    score=st.none() | finite,
    metrics=st.dictionaries(names, finite, max_size=4),
    provenance=st.dictionaries(names, plain, max_size=4),
)
def test_a_cell_file_is_read_as_it_was_written(
    space: str, topology: Topology, **fields: Any
) -> None:
    cell = CellFile.of(space, topology, **fields)
    again = CellFile.from_json(cell.to_json(), "it")
    assert again == cell
    assert again.topology == topology
    assert again.to_json() == cell.to_json()


def test_the_format_is_the_published_one() -> None:
    assert json.loads(CELL.to_json()) == {
        "schema_version": 1,
        "space": "cnn",
        "nodes": 3,
        "ops": ["conv1x1", "sep3x3", "conv1x1"],
        "edges": [[0, 1], [1, 2]],
        "score": 0.75,
        "metrics": {"accuracy": 0.8, "macs": 1e6},
        "provenance": {"run": "demo", "search": 0, "round": 3},
    }
    assert CELL.to_json().endswith(b"\n")


def test_score_metrics_and_provenance_may_be_missing() -> None:
    content = b'{"space": "rnn", "nodes": 2, "ops": ["relu", "tanh"], "edges": [[0, 1]]}'
    cell = CellFile.from_json(content, "hand.cell.json")
    assert cell.topology == Topology(("relu", "tanh"), ((0, 1),))
    assert cell.score is None


def refusal(content: bytes) -> str:
    with pytest.raises(FileFormatError) as caught:
        CellFile.from_json(content, "my.cell.json")
    message = str(caught.value)
    assert message.startswith("my.cell.json ")
    assert "\n" not in message
    return message


def edited(**changes: Any) -> bytes:
    return json.dumps(json.loads(CELL.to_json()) | changes).encode()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": 4}, "nodes is the number of ops, got 4 and 3"),
        ({"edges": [[0, 1], [2, 1]]}, "an edge (i, j) has 0 <= i < j < 3 nodes, got (2, 1)"),
        ({"edges": [[0, 1], [0, 1]]}, "edges are sorted and distinct, got [(0, 1), (0, 1)]"),
        ({"edges": [[0, 3]]}, "got (0, 3)"),
        ({"edges": [[0]]}, "edges.0.1: Field required"),
        ({"edges": "0-1"}, "edges: Input should be a valid tuple, got '0-1'"),
        ({"ops": ["a"], "nodes": 1, "edges": []}, "a cell has 2 to 12 nodes, got 1"),
        ({"ops": ["a", "b", "c|d"]}, "got 'c|d'"),
        ({"ops": ["a", "b", 5]}, "ops.2: Input should be a valid string, got 5"),
        ({"score": "high"}, "score: Input should be a valid number"),
        ({"metrics": {"macs": None}}, "metrics.macs: Input should be a valid number, got None"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted, got 'red'"),
        ({"schema_version": 0}, "schema_version: Input should be greater than or equal to 1"),
        ({"schema_version": "new"}, "schema_version: Input should be a valid integer"),
    ],
)
def test_a_damaged_file_is_refused_with_place_rule_and_value(
    changes: dict[str, Any], message: str
) -> None:
    found = refusal(edited(**changes))
    assert "is damaged: " in found
    assert message in found


@pytest.mark.parametrize("key", ["space", "nodes", "ops", "edges"])
def test_a_file_without_a_needed_key(key: str) -> None:
    settings = json.loads(CELL.to_json())
    del settings[key]
    assert f"{key}: Field required" in refusal(json.dumps(settings).encode())


def test_a_newer_file_is_refused_before_anything_else() -> None:
    message = refusal(edited(schema_version=2, ops="in a new form"))
    assert "has schema version 2; this release reads up to 1: upgrade autoshrink_ray" in message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"not json", b"\xff\xfe\x00", b"\x80", b"[" * 100_000, b"1" * 10_000, b"{'a': 1}"],
)
def test_what_is_not_json(content: bytes) -> None:
    assert "is not valid JSON" in refusal(content)


@pytest.mark.parametrize("content", [b"null", b"[]", b"3", b'"cell"', b"NaN", b"{}", b"true"])
def test_json_that_is_no_cell(content: bytes) -> None:
    assert "is damaged" in refusal(content)


@given(st.data())
def test_whatever_bytes_change_it_is_a_cell_or_refused(data: st.DataObject) -> None:
    content = bytearray(CELL.to_json())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 3)))
        content[start:end] = data.draw(st.binary(max_size=3))
    check_cell_or_refused(bytes(content))


@given(st.dictionaries(st.sampled_from(sorted(CellFile.model_fields)), plain))
def test_whatever_values_change_it_is_a_cell_or_refused(changes: dict[str, Any]) -> None:
    check_cell_or_refused(edited(**changes))


def check_cell_or_refused(content: bytes) -> None:
    try:
        cell = CellFile.from_json(content, "fuzzed")
    except FileFormatError:
        return
    assert CellFile.from_json(cell.to_json(), "again") == cell


def test_numbers_that_json_does_not_have_are_refused() -> None:
    for value in ("NaN", "Infinity", "-Infinity"):
        content = CELL.to_json().replace(b"0.75", value.encode())
        assert "score: Input should be a finite number" in refusal(content)
        content = CELL.to_json().replace(b"0.8", value.encode())
        assert "metrics.accuracy: Input should be a finite number" in refusal(content)


def test_names_of_a_runs_files() -> None:
    assert files.round_cell(1, 2) == "cells/search-001/round-002.cell.json"
    assert files.attempt_folder(12, "0001-ab") == "ledger/search-012/0001-ab"
