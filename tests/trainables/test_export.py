"""Exported files: what is in them, and that they compute what the network computes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from autoshrink_ray.errors import (
    AutoshrinkError,
    ConfigError,
    DataError,
    FileFormatError,
    RunError,
    StorageError,
)
from autoshrink_ray.files import digest
from search_spaces.zoo import CELLS
from tests.trainables.exporting import (
    image_network,
    random_network,
    real_inputs,
    text_network,
    trained,
)
from trainables.export import FORMATS, Card, export
from trainables.export.torch_program import pickles

FILES = [("onnx", "x.onnx"), ("torch-export", "x.pt2")]
WORDS = [f"wörd{number}" for number in range(12)]


def opened(path: Path) -> Callable[..., list[Tensor]]:
    """What a user of the file would write."""
    if path.suffix == ".pt2":
        module = torch.export.load(path).module()

        def run(*inputs: Tensor) -> list[Tensor]:
            with torch.no_grad():
                outputs = module(*inputs)
            return [outputs] if isinstance(outputs, Tensor) else list(outputs)

        return run
    session = onnxruntime.InferenceSession(path)
    names = [entry.name for entry in session.get_inputs()]

    def run_session(*inputs: Tensor) -> list[Tensor]:
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return [torch.from_numpy(np.asarray(output)) for output in session.run(None, feed)]

    return run_session


def logits_of(run: Callable[..., list[Tensor]], inputs: Tensor, state: Tensor) -> Tensor:
    """(B, classes) of images, or (T, B, V) of words."""
    if not state.numel():
        return run(inputs)[0]
    steps = []
    for tokens in inputs:
        logits, state = run(tokens, state)
        steps.append(logits)
    return torch.stack(steps)


@pytest.mark.parametrize(("format", "name"), FILES)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("space", ["cnn", "rnn"])
def test_random_cells_compute_the_same_in_the_file(
    tmp_path: Path, space: str, seed: int, format: str, name: str
) -> None:
    network = random_network(space, seed)
    module, weights, card = trained(network)
    path = tmp_path / name
    export(network, weights, card, real_inputs(network), format=format, path=str(path))
    torch.manual_seed(2)
    run = opened(path)
    for batch in (1, 4):
        if space == "cnn":
            inputs, state = real_inputs(network, batch), torch.empty(0)
            expected = module(inputs)
        else:
            inputs, state = torch.randint(0, 12, (6, batch)), torch.randn(batch, 8)
            expected = module(inputs, state)[0]
        got = logits_of(run, inputs, state)
        torch.testing.assert_close(got, expected.detach(), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Card]]:
    """A language model in both formats."""
    folder = tmp_path_factory.mktemp("exported")
    network = text_network()
    _, weights, card = trained(network, vocabulary=WORDS)
    inputs = real_inputs(network, 35)
    return {
        format: (
            folder / name,
            export(network, weights, card, inputs, format=format, path=str(folder / name)),
        )
        for format, name in FILES
    }


@pytest.mark.parametrize("format", FORMATS)
def test_the_card_describes_the_file(exported: dict[str, tuple[Path, Card]], format: str) -> None:
    path, card = exported[format]
    written = Path(f"{path}.card.json")
    assert Card.model_validate_json(written.read_bytes()) == card
    network = text_network()
    assert (card.file, card.sha256) == (path.name, digest(path.read_bytes()))
    assert (card.network, card.params, card.macs) == (
        network.sha256,
        network.costs["params"],
        network.costs["macs"],
    )
    assert [(entry.name, entry.dtype, entry.shape) for entry in card.inputs + card.outputs] == [
        ("tokens", "int64", ("batch",)),
        ("state", "float32", ("batch", 8)),
        ("logits", "float32", ("batch", 12)),
        ("new_state", "float32", ("batch", 8)),
    ]
    assert card.metrics == {"accuracy": 0.5}
    assert card.provenance == {"network": {}, "weights": {"run": "first", "data": "digits"}}
    assert (card.parity.inputs, card.parity.batch_sizes) == (35 * 3, (1, 2))
    assert card.parity.same_predictions
    assert {"torch", "onnxruntime"} <= card.versions.keys()


def test_onnx_names_its_axes_as_the_card_does(exported: dict[str, tuple[Path, Card]]) -> None:
    path, card = exported["onnx"]
    session = onnxruntime.InferenceSession(path)
    entries = [*session.get_inputs(), *session.get_outputs()]
    assert [(entry.name, tuple(entry.shape)) for entry in entries] == [
        (entry.name, entry.shape) for entry in card.inputs + card.outputs
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_the_vocabulary_is_a_file_of_its_own(
    exported: dict[str, tuple[Path, Card]], format: str
) -> None:
    path, card = exported[format]
    entry = card.preprocessing["vocabulary"]
    content = path.with_name(entry["file"]).read_bytes()
    assert json.loads(content) == WORDS
    assert (entry["size"], entry["sha256"]) == (12, digest(content))
    assert WORDS[3] not in Path(f"{path}.card.json").read_text()


@pytest.mark.parametrize("format", FORMATS)
def test_files_name_no_folder_of_the_machine(
    exported: dict[str, tuple[Path, Card]], format: str
) -> None:
    assert str(Path(__file__).parents[2]).encode() not in exported[format][0].read_bytes()


def test_a_pt2_file_is_read_without_a_pickle(
    exported: dict[str, tuple[Path, Card]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = exported["torch-export"]
    assert pickles(path) == []
    monkeypatch.delattr(torch, "load")
    torch.export.load(path)


def test_pickles_in_a_pt2_file_are_found(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "x.pt2")
    assert pickles(tmp_path / "x.pt2") == ["x/data/sample_inputs/model.pt"]


def test_the_exporters_remarks_do_not_reach_the_user(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    network = text_network()  # its split weights are what the optimiser remarks on
    _, weights, card = trained(network)
    path = str(tmp_path / "x.onnx")
    export(network, weights, card, real_inputs(network), format="onnx", path=path)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_same_export_gives_the_same_onnx_file(
    tmp_path: Path, exported: dict[str, tuple[Path, Card]]
) -> None:
    network = text_network()
    _, weights, card = trained(network, vocabulary=WORDS)
    path = tmp_path / "again.onnx"
    export(network, weights, card, real_inputs(network), format="onnx", path=str(path))
    assert path.read_bytes() == exported["onnx"][0].read_bytes()


def test_a_difference_above_the_tolerance_leaves_no_file(tmp_path: Path) -> None:
    network = random_network("cnn", 1)
    _, weights, card = trained(network)
    with pytest.raises(RunError, match=r"largest difference on real inputs is \d.*allowed is 0 "):
        export(
            network,
            weights,
            card,
            real_inputs(network),
            format="onnx",
            path=str(tmp_path / "x.onnx"),
            tolerance=0,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_an_older_file(tmp_path: Path) -> None:
    network = image_network()
    _, weights, card = trained(network)
    path = tmp_path / "x.pt2"
    path.write_bytes(b"older")
    broken = {key: value * float("nan") for key, value in weights.items()}
    with pytest.raises(RunError, match="largest difference on real inputs is nan"):
        export(network, broken, card, real_inputs(network), format="torch-export", path=str(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.pt2"]
    assert path.read_bytes() == b"older"


def _missing(arguments: dict[str, Any]) -> None:
    del arguments["weights"]["head.classifier.bias"]


def _other_size(arguments: dict[str, Any]) -> None:
    arguments["weights"]["stem.conv.weight"] = torch.zeros(4, 1, 5, 5)


def _too_many(arguments: dict[str, Any]) -> None:
    arguments["weights"]["more"] = torch.zeros(1)


def _other_network(arguments: dict[str, Any]) -> None:
    arguments["network"] = image_network(activation="swish")


def _other_inputs(arguments: dict[str, Any]) -> None:
    arguments["inputs"] = torch.zeros(9, 3, 8, 8)


def _few_inputs(arguments: dict[str, Any]) -> None:
    arguments["inputs"] = torch.zeros(2, 1, 8, 8)


def _other_format(arguments: dict[str, Any]) -> None:
    arguments["format"] = "tflite"


def _no_name(arguments: dict[str, Any]) -> None:
    arguments["path"] += "/"


def _below_a_file(arguments: dict[str, Any]) -> None:
    Path(arguments["path"]).write_bytes(b"")
    arguments["path"] += "/below"


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (_missing, FileFormatError, "head.classifier.bias is missing"),
        (_other_size, FileFormatError, r"stem.conv.weight has shape \(4, 1, 3, 3\) in the network"),
        (_too_many, FileFormatError, "it has no more"),
        (_other_network, FileFormatError, "belong to another network"),
        (_other_inputs, DataError, r"float32 of shape \(1, 8, 8\), got .*\(9, 3, 8, 8\)"),
        (_few_inputs, DataError, "at least 3 images"),
        (_other_format, ConfigError, "unknown format 'tflite'; choose one of onnx, torch-export"),
        (_no_name, ConfigError, "is written to a file, got"),
        (_below_a_file, StorageError, "cannot write"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Path, spoil: Any, error: type[AutoshrinkError], message: str
) -> None:
    network = image_network()
    _, weights, card = trained(network)
    arguments: dict[str, Any] = {
        "network": network,
        "weights": weights,
        "card": card,
        "inputs": real_inputs(network),
        "format": "torch-export",
        "path": str(tmp_path / "x.pt2"),
    }
    spoil(arguments)
    with pytest.raises(error, match=message):
        export(**arguments)


@pytest.mark.slow
def test_the_published_network_exports_at_224_pixels(tmp_path: Path) -> None:
    network = CELLS["shrink-cnn-a"].network
    module, weights, card = trained(network)
    path = tmp_path / "x.onnx"
    made = export(network, weights, card, real_inputs(network, 4), format="onnx", path=str(path))
    assert (network.costs["params_without_bn"], made.macs) == (3_600_981, 383_677_672)
    assert made.parity.same_predictions
    inputs = real_inputs(network, 5)[4:]
    torch.testing.assert_close(
        opened(path)(inputs)[0], module(inputs).detach(), atol=1e-4, rtol=1e-4
    )
