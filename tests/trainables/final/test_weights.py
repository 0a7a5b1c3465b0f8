"""Weights files: what is written is read, what does not fit is named, nothing is executed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import nn

from autoshrink_ray.errors import FileFormatError, StorageError
from autoshrink_ray.storage import Folder
from search_spaces.build import build
from tests.trainables.final.text_support import network_file
from trainables.final.weights import (
    WeightsCard,
    check_belongs,
    load_weights,
    read_weights,
    write_weights,
)

NETWORK = network_file()
CARD = WeightsCard(
    network=NETWORK.sha256,
    inputs={"vocabulary": ["a", "b ", "ü"]},
    metrics={"perplexity": 1.5},
    provenance={"training": "night"},
)


def content(tmp_path: Path, weights: dict[str, Any], card: WeightsCard = CARD) -> bytes:
    folder = Folder(str(tmp_path))
    write_weights(folder, "w.safetensors", weights, card)
    return folder.read("w.safetensors")


def test_weights_of_a_network_and_their_card_come_back(tmp_path: Path) -> None:
    module = build(NETWORK)
    weights, card = read_weights(content(tmp_path, module.state_dict()), "w")
    assert card == CARD
    other = build(NETWORK)
    load_weights(other, weights)
    for name, tensor in module.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


MISMATCHES = [
    ({"weight": torch.zeros(2, 3)}, "bias is missing"),
    (
        {"weight": torch.zeros(3, 2), "bias": torch.zeros(2)},
        r"weight has shape \(2, 3\) in the network, got \(3, 2\)",
    ),
    (
        {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "more": torch.zeros(1)},
        "it has no more",
    ),
]


@pytest.mark.parametrize(("weights", "message"), MISMATCHES)
def test_the_first_mismatch_is_named_and_nothing_is_changed(
    weights: dict[str, torch.Tensor], message: str
) -> None:
    module = nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(FileFormatError, match=f"mine do not fit the network: .*{message}"):
        load_weights(module, weights, "mine")
    assert all(torch.equal(before[n], tensor) for n, tensor in module.state_dict().items())


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("/nonexistent/executed"),)


@pytest.mark.parametrize(
    "bad",
    [b"", b"\x00" * 7, b"\xff" * 64, pickle.dumps(Evil()), b"\x02\0\0\0\0\0\0\0{}", b"PK\x03\x04"],
)
def test_what_is_no_weights_file_is_refused(bad: bytes) -> None:
    with pytest.raises(FileFormatError, match=r"w\.safetensors"):
        read_weights(bad, "w.safetensors")


@pytest.mark.parametrize("end", [1, 9, 50])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, end: int) -> None:
    whole = content(tmp_path, {"w": torch.rand(4)})
    with pytest.raises(FileFormatError, match="not a readable safetensors file"):
        read_weights(whole[:-end], "w")


def test_tensors_without_a_card_are_refused() -> None:
    with pytest.raises(FileFormatError, match="has no card of autoshrink_ray"):
        read_weights(save({"w": torch.zeros(1)}), "w")


def test_a_newer_card_is_refused() -> None:
    newer = CARD.model_dump_json().replace('"schema_version":1', '"schema_version":2')
    with pytest.raises(FileFormatError, match="upgrade autoshrink_ray"):
        read_weights(save({"w": torch.zeros(1)}, {"autoshrink_ray": newer}), "w")


def test_weights_of_another_network_are_noticed() -> None:
    check_belongs(CARD, NETWORK)
    with pytest.raises(FileFormatError, match="belong to another network"):
        check_belongs(CARD, network_file(hidden_size=9))


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        write_weights(Folder(str(tmp_path / "file")), "w", {}, CARD)
