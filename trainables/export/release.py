"""From trained network to exported file: write, check, then release it with its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from autoshrink_ray.errors import ConfigError, choices
from autoshrink_ray.files import digest
from autoshrink_ray.runfile import versions
from autoshrink_ray.storage import Folder
from search_spaces.network import NetworkFile
from trainables.export.card import Card, Parity
from trainables.export.onnx_file import OnnxFile
from trainables.export.parity import check_parity
from trainables.export.torch_program import TorchExportFile
from trainables.export.unit import Unit, sequences, unit
from trainables.final.weights import WeightsCard, check_belongs

FORMATS: dict[str, OnnxFile | TorchExportFile] = {
    "onnx": OnnxFile(),
    "torch-export": TorchExportFile(),
}
"""The formats, by name."""

TOLERANCE = 1e-4
"""Largest absolute difference of an output that is allowed by default."""

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_CARD, _VOCABULARY = ".card.json", ".vocabulary.json"


def file_format(name: str) -> OnnxFile | TorchExportFile:
    """The format called `name`.

    Raises:
        ConfigError: If there is none.
    """
    if name not in FORMATS:
        raise ConfigError(f"unknown format {name!r}; choose one of {choices(FORMATS)}")
    return FORMATS[name]


def export(
    network: NetworkFile,
    weights: Mapping[str, Tensor],
    card: WeightsCard,
    inputs: Tensor,
    *,
    format: str,
    path: str,
    tolerance: float = TOLERANCE,
) -> Card:
    """Writes a trained network as a file for other programs, once the file has been checked.

    The file is written to a temporary place, read from there and run on `inputs`, with batch size
    1 and more. Only a file that computes what the torch network computes gets to `path`; beside
    it are its card, `path` + `.card.json`, and for language models the vocabulary, `path` +
    `.vocabulary.json`. Everything runs on the CPU.

    Args:
        network: The network.
        weights: Its `state_dict`.
        card: Card of the weights.
        inputs: Real inputs, prepared as in evaluation: images, float32 (N, C, H, W), N > 2; or
            words, int64 (T, B), B > 2, through which the state is carried.
        format: `onnx` or `torch-export`.
        path: Path or URI of the file.
        tolerance: Largest difference of an output that is allowed; see `check_parity`.

    Raises:
        ConfigError: If there is no such format, or it cannot hold the network.
        FileFormatError: If the weights do not fit or belong to another network.
        DataError: If the inputs do not fit.
        StorageError: If the file cannot be written.
        RunError: If the check fails; there is no file then.
    """
    chosen = file_format(format)
    exported = unit(network, weights)
    check_belongs(card, network)
    calls = sequences(network, inputs)
    folder, name = _place(path)
    folder.check_writable()
    content, parity = _checked_file(chosen, exported, calls, tolerance)
    preprocessing, vocabulary = _preprocessing(card.inputs, name)
    written = Card(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        file=name,
        sha256=digest(content),
        format=format,
        opset=chosen.opset,
        inputs=exported.inputs,
        outputs=exported.outputs,
        preprocessing=preprocessing,
        **_origin(network, card),
        parity=parity,
    )
    if folder.exists(name):  # it would have the new file's card for a moment, or for ever
        folder.remove(name)
    if vocabulary is not None:
        folder.write(f"{name}{_VOCABULARY}", vocabulary)
    folder.write(f"{name}{_CARD}", written.to_json())
    folder.write(name, content)  # last: a file that is there has its card
    return written


def _checked_file(
    chosen: OnnxFile | TorchExportFile,
    exported: Unit,
    calls: list[list[Tensor]],
    tolerance: float,
) -> tuple[bytes, Parity]:
    with TemporaryDirectory(prefix="autoshrink-ray-export-") as temporary:
        file = Path(temporary, f"network{chosen.suffix}")
        chosen.write(exported, file)
        parity = check_parity(exported, chosen.open(file), calls, tolerance, chosen.runtime)
        return file.read_bytes(), parity


def _origin(network: NetworkFile, card: WeightsCard) -> dict[str, Any]:
    training = dict(card.provenance)
    if training.get("network") == network.provenance:
        del training["network"]  # once is enough
    return {
        "network": network.sha256,
        "space": network.space,
        "ops": network.ops,
        "edges": network.edges,
        "params": network.costs["params"],
        "macs": network.costs["macs"],
        "costs": network.costs,
        "metrics": card.metrics,
        "provenance": {"network": network.provenance, "weights": training},
        "versions": versions() | {package: version(package) for package in _PACKAGES},
    }


def _place(path: str) -> tuple[Folder, str]:
    """Folder and name of a file at a path or URI."""
    is_uri = "://" in path
    base, mark, query = path.partition("?") if is_uri else (path, "", "")
    parent, slash, name = base.rpartition("/")
    if not name:
        raise ConfigError(f"an export is written to a file, got {path!r}")
    return Folder((parent or slash or ".") + mark + query), name


def _preprocessing(inputs: Mapping[str, Any], name: str) -> tuple[dict[str, Any], bytes | None]:
    """The weights' inputs for the card, and a vocabulary as a file of its own: it is long."""
    known = dict(inputs)
    if "vocabulary" not in known:
        return known, None
    content = (json.dumps(known["vocabulary"], ensure_ascii=False, indent=0) + "\n").encode()
    known["vocabulary"] = {
        "file": f"{name}{_VOCABULARY}",
        "size": len(known["vocabulary"]),
        "sha256": digest(content),
    }
    return known, content
