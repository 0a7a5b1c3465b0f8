from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoshrink_ray.errors import FileFormatError
from search_spaces import CELLS
from search_spaces.derive import derive
from search_spaces.network import NetworkFile
from tests.search_spaces.networks import image_networks, text_networks

CNN = derive(CELLS["shrink-cnn-a"].cell, "digits")
RNN = derive(CELLS["shrink-rnn"].cell, "ptb")

small = settings(deadline=None, max_examples=40)


def read(data: object) -> NetworkFile:
    return NetworkFile.from_json(json.dumps(data).encode(), "my.network.json")


@small
@given(image_networks() | text_networks())
def test_a_network_survives_its_file(network: NetworkFile) -> None:
    again = NetworkFile.from_json(network.to_json(), "it")
    assert again == network
    assert again.to_json() == network.to_json()
    assert again.sha256 == network.sha256
    assert again.macro_settings == network.macro_settings


@small
@given(st.dictionaries(st.text(), st.integers()))
def test_the_digest_does_not_depend_on_origin_and_recipe(provenance: dict[str, int]) -> None:
    other = CNN.model_copy(update={"provenance": provenance, "recipe": "imagenet"})
    assert other.sha256 == CNN.sha256


@pytest.mark.parametrize(
    "changes",
    [
        {"macro": {"activation": "swish"}},
        {"macro": {"channel_scale": 1.1}},
        {"macro": {"bn_eps": 1e-3}},
        {"macro": {"initializer": "fan_out_normal"}},
        {"input": {"classes": 11}},
        {"input": {"height": 9}},
    ],
)
def test_the_digest_depends_on_what_the_network_computes(changes: dict[str, Any]) -> None:
    assert derive(CELLS["shrink-cnn-a"].cell, "digits", **changes).sha256 != CNN.sha256


def test_the_file_is_plain_and_complete() -> None:
    data = json.loads(RNN.to_json())
    assert set(data) == {
        *("schema_version", "space", "ops", "edges", "macro", "input", "costs", "recipe"),
        "provenance",
    }
    assert data["costs"]["params"] == 23_000_700
    assert data["macro"]["hidden_size"] == 745


def edited(network: NetworkFile, **changes: Any) -> dict[str, Any]:
    """The file's content; a change of `macro`, `input` or `costs` is merged into it."""
    data = json.loads(network.to_json())
    for key, value in changes.items():
        merge = isinstance(value, dict) and key in data
        data[key] = {**data[key], **value} if merge else value
    return data


BAD = [
    (edited(CNN, edges=[[0, 1], [1, 1]]), r"an edge \(i, j\) has 0 <= i < j < 5 nodes, got \(1, 1"),
    (edited(CNN, edges=[[0, 1], [1, 2], [2, 1]]), r"0 <= i < j < 5 nodes, got \(2, 1\)"),
    (edited(CNN, edges=[[0, 1], [0, 7]]), r"0 <= i < j < 5 nodes, got \(0, 7\)"),
    (edited(CNN, edges=[]), "at least one edge that leaves node 0, got"),
    (edited(CNN, edges=[[0]]), "edges.0.1: Field required"),
    (edited(CNN, ops=["sep3x3"] * 4 + ["conv5x5"]), "one of sep3x3, conv1x1; got 'conv5x5'"),
    (edited(CNN, ops=["sep3x3"]), "2 to 12 nodes, got 1"),
    (edited(CNN, macro={"base_width": 0}), "base_width: .* equal to 1, got 0"),
    (edited(CNN, macro={"stem_filters": -4}), "stem_filters: .* equal to 1, got -4"),
    (edited(CNN, macro={"scale": [1, -2]}), "scale.1: .* greater than 0, got -2"),
    (edited(CNN, macro={"pools": [1]}), "2 of scale and 1 of pools"),
    (edited(CNN, macro={"depth": 3}), "macro: depth: Extra inputs are not permitted, got 3"),
    (edited(CNN, costs={"macs": 1}), "costs are those of the network .* derive the network again"),
    (edited(CNN, macro={"channel_scale": 2}), "costs are those of the network that the file"),
    (edited(CNN, input={"classes": 1}), "classes: .* equal to 2, got 1"),
    (edited(CNN, input={"vocabulary": 9}), "vocabulary: Extra inputs are not permitted, got 9"),
    (edited(CNN) | {"input": {"vocabulary": 9}}, "space 'cnn' is image, got the input of text"),
    (edited(RNN) | {"input": CNN.input.model_dump()}, "space 'rnn' is text, got the input of imag"),
    (edited(RNN, macro={"hidden_size": 0}), "hidden_size: .* equal to 1, got 0"),
    (edited(RNN, macro={"dropout_words": float("nan")}), "dropout_words"),
    (
        edited(CNN, space="none"),
        "unknown search space 'none'; choose one of cnn, .*rnn, .*or give the",
    ),
    (edited(CNN, space="this:d"), "unknown search space 'this:d'; choose one of cnn, .*rnn"),
    (edited(CNN, schema_version=2), "has schema version 2; this release reads up to 1: upgrade"),
    (edited(CNN, layers=18), "layers: Extra inputs are not permitted, got 18"),
    ({"space": "cnn"}, "ops: Field required; edges: Field required"),
    ([1, 2], "my.network.json is damaged"),
    (None, "my.network.json is damaged"),
]


@pytest.mark.parametrize(("data", "message"), BAD)
def test_an_edited_file_is_refused_in_one_message(data: object, message: str) -> None:
    with pytest.raises(FileFormatError, match=message) as caught:
        read(data)
    assert str(caught.value).startswith("my.network.json")
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000])
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(FileFormatError, match=r"my.network.json is"):
        NetworkFile.from_json(content, "my.network.json")
