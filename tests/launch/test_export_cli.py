"""`evaluate` and `export`, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from launch.cli import app
from tests.launch.test_cli import command
from tests.trainables.exporting import text_network, write_text, write_training
from trainables.export import Card


def typed(line: str) -> Result:
    return CliRunner().invoke(app, line.split())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished training called `night`."""
    folder = tmp_path_factory.mktemp("cli")
    words = write_text(folder / "words")
    network = text_network(vocabulary=len(words))
    write_training(folder / "runs" / "night", network, f"text:{folder}/words", vocabulary=words)
    other = text_network(vocabulary=len(words), hidden=9)
    (folder / "other.network.json").write_bytes(other.to_json())
    (folder / "file").touch()
    return folder


@pytest.fixture
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_evaluate_prints_what_a_training_reaches(inside: Path) -> None:
    shown = typed("evaluate night").output.splitlines()
    assert shown[0].startswith("valid: 176 words")
    assert [line.split()[0] for line in shown[1:]] == ["perplexity", "loss"]


def test_a_training_and_its_parts_give_the_same(inside: Path) -> None:
    parts = "runs/night/network.json --weights runs/night/weights.safetensors --data text:words"
    one = json.loads(typed("evaluate runs/night --batch-size 3 --json").output)
    two = json.loads(typed(f"evaluate {parts} --batch-size 3 --json").output)
    assert one["perplexity"] == two["perplexity"]
    assert {"split", "examples", "device", "loss", "network"} <= one.keys()


def test_export_writes_three_files_and_nothing_but_its_answer(place: Path, tmp_path: Path) -> None:
    done = command("export", str(place / "runs/night"), "--format", "onnx", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["wrote", "checked"]
    names = ["night.onnx", "night.onnx.card.json", "night.onnx.vocabulary.json"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == names
    card = Card.model_validate_json((tmp_path / names[1]).read_bytes())
    assert (card.format, card.parity.inputs) == ("onnx", 32 * 5)


def test_export_as_a_torch_program_takes_a_place_and_a_number(inside: Path, tmp_path: Path) -> None:
    done = typed(f"export night --format torch-export --samples 4 -o {tmp_path}/new/x.pt2")
    assert (done.exit_code, done.stderr) == (0, "")
    card = Card.model_validate_json((tmp_path / "new/x.pt2.card.json").read_bytes())
    assert (card.format, card.parity.inputs) == ("torch-export", 4 * 5)


BAD = [
    ("evaluate nothing", "no network at nothing"),
    ("evaluate nothing", "no training at"),
    ("evaluate night --split all", "unknown split 'all'; choose one of train, valid, test"),
    ("evaluate night --batch-size 0", "greater than or equal to 1"),
    ("evaluate night --data text:nowhere", "there is no folder"),
    ("evaluate night --data pydoc", "a vocabulary of 12 words"),
    ("evaluate night --data digits", "digits"),
    ("evaluate night --max-bad-fraction 0.5", "unknown recipe setting max_bad_fraction"),
    ("evaluate other.network.json", "is a network without weights: give --weights W"),
    ("evaluate night --weights file", "file is not a readable safetensors file"),
    (
        "evaluate other.network.json --weights runs/night/weights.safetensors",
        "is a network without data: give --data SPEC",
    ),
    (
        "evaluate other.network.json --weights runs/night/weights.safetensors --data text:words",
        "do not fit the network: embedding.weight has shape (12, 9)",
    ),
    ("export night --format tflite", "unknown format 'tflite'; choose one of onnx, torch-export"),
    ("export night", "--format"),
    ("export night --format onnx --samples 2", "greater than or equal to 3"),
    ("export night --format torch-export -o file/x.pt2", "cannot write"),
    ("export other.network.json --format onnx", "is a network without weights"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_bad_input_gives_one_message_and_exit_code_2(inside: Path, line: str, message: str) -> None:
    done = typed(line)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_a_failed_check_has_exit_code_1_and_leaves_no_file(inside: Path, tmp_path: Path) -> None:
    done = typed(f"export night --format onnx --tolerance 0 -o {tmp_path}/x.onnx")
    assert done.exit_code == 1
    assert "allowed is 0 (tolerance 0, largest" in done.stderr
    assert list(tmp_path.iterdir()) == []
