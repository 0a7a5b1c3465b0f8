"""`weights.safetensors`: trained weights, with a card that says what they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel, Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from autoshrink_ray.errors import FileFormatError
from autoshrink_ray.files import parse_file
from autoshrink_ray.storage import Folder
from search_spaces.network import NetworkFile

WEIGHTS_SCHEMA_VERSION = 1

_CARD = "autoshrink_ray"
"""Key of the card in the file's metadata."""


class WeightsCard(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What weights are of.

    Attributes:
        schema_version: Version of this format.
        network: Digest of the network that they belong to (`NetworkFile.sha256`).
        inputs: What has to be known to feed the network; see `FullTask.inputs`.
        metrics: Figures of the epoch that they come from.
        provenance: Training run, data, versions.
    """

    schema_version: int = Field(default=WEIGHTS_SCHEMA_VERSION, ge=1, le=WEIGHTS_SCHEMA_VERSION)
    network: str
    inputs: dict[str, Any]
    metrics: dict[str, float]
    provenance: dict[str, Any] = Field(default_factory=dict)


def write_weights(
    folder: Folder, name: str, weights: Mapping[str, Tensor], card: WeightsCard
) -> None:
    """Writes a weights file atomically.

    Raises:
        StorageError: If it cannot be written.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    folder.write(name, save(tensors, {_CARD: card.model_dump_json()}))


def read_weights(content: bytes, name: str) -> tuple[dict[str, Tensor], WeightsCard]:
    """Reads a weights file; nothing in it can execute code.

    Args:
        content: What is in the file.
        name: What error messages call it.

    Raises:
        FileFormatError: If it is damaged, has no card or is from a newer version.
    """
    try:
        tensors = load(content)
        size = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
    except (SafetensorError, ValueError, RecursionError) as error:
        raise FileFormatError(f"{name} is not a readable safetensors file: {error}") from error
    if _CARD not in metadata:
        raise FileFormatError(
            f"{name} has no card of autoshrink_ray: weights are what train writes"
        )
    return tensors, parse_file(
        WeightsCard, metadata[_CARD].encode(), f"the card of {name}", WEIGHTS_SCHEMA_VERSION
    )


def load_weights(
    module: torch.nn.Module, weights: Mapping[str, Tensor], name: str = "the weights"
) -> None:
    """Copies weights into a network.

    Raises:
        FileFormatError: Naming the first tensor that is missing, of another shape, or too many.
    """
    own = module.state_dict()
    for key, tensor in own.items():
        if key not in weights:
            raise FileFormatError(f"{name} do not fit the network: {key} is missing")
        if weights[key].shape != tensor.shape:
            raise FileFormatError(
                f"{name} do not fit the network: {key} has shape {tuple(tensor.shape)} in the "
                f"network, got {tuple(weights[key].shape)}"
            )
    for key in weights:
        if key not in own:
            raise FileFormatError(f"{name} do not fit the network: it has no {key}")
    module.load_state_dict(dict(weights))


def check_belongs(card: WeightsCard, network: NetworkFile, name: str = "the weights") -> None:
    """Raises FileFormatError if weights were trained in another network."""
    if card.network != network.sha256:
        raise FileFormatError(
            f"{name} belong to another network: their card names {card.network[:12]}, "
            f"the network file is {network.sha256[:12]}"
        )
