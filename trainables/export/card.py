"""`FILE.card.json`: what is in an exported file, where it comes from, and that it was checked."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, Field

CARD_SCHEMA_VERSION = 1

FormatName = Literal["onnx", "torch-export"]

BATCH = "batch"
"""Name of the axis that may have any size from 1."""


class TensorInfo(BaseModel, frozen=True, extra="forbid"):
    """An input or output of the exported network.

    Attributes:
        name: What the file calls it.
        dtype: Type of its numbers, as torch calls it.
        shape: Size of each axis; a name stands for a dynamic one.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class Parity(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How the exported file compares with the torch network on real inputs.

    Attributes:
        runtime: What ran the file.
        inputs: Real images, or words in a row times rows side by side.
        batch_sizes: Batch sizes that were run.
        largest_difference: Largest absolute difference of any output.
        largest_output: Largest absolute output of the torch network.
        tolerance: What was allowed, as a share of the largest output or of 1.
        same_predictions: Whether the largest output is at the same place for every input.
    """

    runtime: str
    inputs: int
    batch_sizes: tuple[int, ...]
    largest_difference: float
    largest_output: float
    tolerance: float
    same_predictions: bool


class Card(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The card of an exported file.

    Attributes:
        schema_version: Version of this format.
        created: When it was exported, ISO 8601 with offset.
        file: Name of the exported file, which is beside the card.
        sha256: Digest of that file.
        format: Its format.
        opset: Version of ONNX's operators; None in another format.
        inputs: What goes in, in order.
        outputs: What comes out, in order.
        preprocessing: How inputs are prepared; see `trainables.final.contracts.FullTask.inputs`.
            A vocabulary is a file of its own, named with its size and digest.
        network: Digest of the network file (`NetworkFile.sha256`).
        space: Search space of the cell.
        ops: Operation of each node of the cell.
        edges: Edges of the cell.
        params: Trainable parameters.
        macs: Multiply-accumulates for one image or word.
        costs: All costs, as the network file states them.
        metrics: Figures of the weights.
        provenance: Of `network` (the cell's search) and of `weights` (the training).
        versions: Releases that exported and checked.
        parity: The check that let the file through.
    """

    schema_version: int = Field(default=CARD_SCHEMA_VERSION, ge=1, le=CARD_SCHEMA_VERSION)
    created: str
    file: str
    sha256: str
    format: FormatName
    opset: int | None
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    preprocessing: dict[str, Any]
    network: str
    space: str
    ops: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    params: int
    macs: int
    costs: dict[str, int]
    metrics: dict[str, float]
    provenance: dict[str, dict[str, Any]]
    versions: dict[str, str]
    parity: Parity

    def to_json(self) -> bytes:
        """The file's content."""
        return (json.dumps(self.model_dump(mode="json"), indent=2) + "\n").encode()
