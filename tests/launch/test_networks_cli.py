"""derive, count and zoo, as a user types them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.errors import ConfigError, FileFormatError, RunError, StorageError
from autoshrink_ray.files import CellFile
from launch.cli import app
from launch.networks import quantity
from launch.sources import network_at, source_at
from search_spaces import CELLS
from search_spaces.derive import derive
from search_spaces.network import NetworkFile


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of Swish cells, one without a result, and files."""
    folder = tmp_path_factory.mktemp("networks")
    config = SearchConfig(
        nodes=3,
        candidates=1,
        macro={"activation": "swish", "base_width": 8},
        proxy={"epochs": 1, "train_per_class": 8, "valid_per_class": 4},
        executor="in-process",
        storage=str(folder / "runs"),
    )
    run_search(config, name="tiny")
    open_run = folder / "runs" / "open"
    open_run.mkdir()
    (open_run / "run.yaml").write_bytes((folder / "runs" / "tiny" / "run.yaml").read_bytes())
    (folder / "cell.json").write_bytes(CELLS["shrink-cnn-a"].cell.to_json())
    network = derive(CELLS["shrink-cnn-a"].cell, "digits")
    (folder / "net.json").write_bytes(network.to_json())
    (folder / "self-edge.json").write_bytes(edited(network, edges=[[0, 1], [2, 2]]))
    (folder / "op.json").write_bytes(edited(network, ops=["sep3x3"] * 4 + ["sep9x9"]))
    macro = network.macro
    (folder / "width-0.json").write_bytes(edited(network, macro=macro | {"base_width": 0}))
    (folder / "negative.json").write_bytes(edited(network, macro=macro | {"stem_filters": -1}))
    (folder / "costs.json").write_bytes(edited(network, costs=network.costs | {"macs": 5}))
    (folder / "newer.json").write_bytes(edited(network, schema_version=9))
    (folder / "key.json").write_bytes(edited(network, depth=3))
    (folder / "text.json").write_text("a network")
    return folder


def edited(network: NetworkFile, **changes: Any) -> bytes:
    return json.dumps(json.loads(network.to_json()) | changes).encode()


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "200")
    return place


def typed(command: str) -> Result:
    return CliRunner().invoke(app, shlex.split(command))


def done(command: str) -> str:
    result = typed(command)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def derived(options: str) -> NetworkFile:
    """The network that `derive` writes."""
    assert "wrote out.json\n" in done(f"derive {options} -o out.json")
    return network_at("out.json")


# derive


def test_derive_says_what_it_wrote(here: Path) -> None:
    network = derive(CELLS["shrink-cnn-a"].cell, "digits")
    assert done("derive shrink-cnn-a --preset digits") == (
        f"wrote network.json\n{network.costs['params']:,} parameters, "
        f"{network.costs['macs']:,} MACs, channel_scale 1, recipe digits\n"
    )
    assert network_at("network.json") == network


def test_derive_takes_cell_files_and_runs_by_name_path_and_uri(here: Path) -> None:
    best = Run("tiny").best
    assert best is not None
    for source in ("tiny", "runs/tiny", (here / "runs" / "tiny").as_uri()):
        assert derived(f"{source} --preset digits").topology == best.topology
    assert derived("tiny --storage runs --preset digits").provenance["cell"]["score"] == best.score
    cell = CELLS["shrink-cnn-a"].cell
    for source in ("cell.json", (here / "cell.json").as_uri()):
        assert derived(f"{source} --preset cifar") == derive(cell, "cifar")


def test_the_activation_of_a_search_goes_with_its_cell_and_its_widths_do_not(here: Path) -> None:
    network = derived("tiny --preset digits")
    assert (network.macro["activation"], network.macro["base_width"]) == ("swish", 16)
    assert derived("tiny --preset digits --activation relu").macro["activation"] == "relu"


def test_shrink_cnn_b_is_swish_in_every_network(here: Path) -> None:
    assert derived("shrink-cnn-b --preset cifar").macro["activation"] == "swish"
    assert derived("shrink-cnn-a --preset cifar").macro["activation"] == "relu"
    assert derived("shrink-cnn-b --preset cifar --activation relu").macro["activation"] == "relu"


def test_options_are_changes_of_the_preset(here: Path) -> None:
    network = derived(
        "shrink-cnn-a --preset imagenet --channel-scale 0.5 --replicate 1,1,2,1,1 --classes 7 "
        "--image-size 64 --channels 1 --activation swish --set head_filters=64 --set bn_eps=1.0e-4"
    )
    macro = {
        "channel_scale": 0.5,
        "replicate": (1, 1, 2, 1, 1),
        "activation": "swish",
        "head_filters": 64,
        "bn_eps": 1e-4,
    }
    shape = {"classes": 7, "height": 64, "width": 64, "channels": 1}
    assert network == derive(CELLS["shrink-cnn-a"].cell, "imagenet", macro=macro, input=shape)
    network = derived("shrink-rnn --preset ptb --hidden-size 20 --vocabulary 30")
    assert (network.macro["hidden_size"], network.shape) == (
        20,
        derive(CELLS["shrink-rnn"].cell, "ptb", input={"vocabulary": 30}).shape,
    )
    network = derived("shrink-cnn-a --preset digits --set 'pools=[2, 2]' --set replicate=null")
    assert (network.macro["pools"], network.macro["replicate"]) == ([2, 2], None)


def test_a_target_decides_the_width(here: Path) -> None:
    network = derived("shrink-cnn-a --preset imagenet --classes 1001 --target-macs 384M")
    assert network.macro["channel_scale"] == 1.4
    assert network.costs == CELLS["shrink-cnn-a"].network.costs
    network = derived("shrink-rnn --preset ptb --target-params 23.001M")
    assert network.macro["hidden_size"] == 745


@pytest.mark.parametrize(
    ("text", "number"),
    [("400M", 400 * 10**6), ("5.2M", 5_200_000), ("1G", 10**9), ("750k", 750_000), ("12", 12)],
)
def test_quantities_are_read_as_people_write_them(text: str, number: int) -> None:
    assert quantity("--target-macs", text) == number


@pytest.mark.parametrize("text", ["", "M", "x", "-3M", "0", "1.5", "nan", "inf", "3T", "1e999999"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"--target-macs is a whole number from 1 to 10\^18, such as"
    ):
        quantity("--target-macs", text)


# count


def test_count_prints_what_was_counted(here: Path) -> None:
    costs = network_at("net.json").costs
    lines = done("count net.json").splitlines()
    assert lines[0].split() == ["parameters", f"{costs['params']:,}"]
    assert lines[1].split() == ["without", "batch", "norm", f"{costs['params_without_bn']:,}"]
    assert lines[2].split() == ["MACs", "of", "one", "image", f"{costs['macs']:,}"]
    text = done("count shrink-cnn-b")
    for figure in ("3,636,301", "3,600,981", "383,677,672", "100,006,572 bytes"):
        assert figure in text
    text = done("count shrink-rnn --layers")
    for figure in ("23,000,700", "15,540,700", "7,450,000", "RecurrentCell", "Embedding"):
        assert figure in text


def test_count_json_is_for_programs(here: Path) -> None:
    plain = json.loads(done("count net.json --json"))
    assert plain.items() >= network_at("net.json").costs.items()
    full = json.loads(done("count net.json --json --layers"))
    layers = full.pop("layers")
    assert full == plain
    assert sum(layer["macs"] for layer in layers) == plain["macs"]
    assert sum(layer["params"] for layer in layers) == plain["params"]


LYING = """
from autoshrink_ray import register_space
from search_spaces.cnn import CnnSpace

class Lying(CnnSpace):
    name = "lying"
    def cost(self, topology, macro, shape):
        return super().cost(topology, macro, shape) | {"macs": 7}

SPACE = Lying()
register_space("lying", "lying:SPACE")
"""


def test_count_fails_where_the_two_ways_to_count_differ(tmp_path: Path) -> None:
    (tmp_path / "lying.py").write_text(LYING)
    cell = CellFile.of("lying", CELLS["shrink-cnn-a"].topology)
    (tmp_path / "cell.json").write_bytes(cell.to_json())

    def command(arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from launch.cli import main; main()", *arguments.split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"COLUMNS": "200"},
            check=False,
        )

    assert command("derive cell.json --preset digits --plugin lying").returncode == 0
    done = command("count network.json --plugin lying")
    assert done.returncode == 1
    assert "two ways to count network.json differ: macs is" in done.stderr
    assert "in the built network and 7 in its costs" in done.stderr
    assert "Traceback" not in done.stderr
    done = command("count network.json")
    assert (done.returncode, "unknown search space 'lying'" in done.stderr) == (2, True)


# zoo


def test_zoo_lists_cells_with_their_networks(here: Path) -> None:
    text = done("zoo")
    assert all(name in text for name in CELLS)
    assert text.count("383,677,672 MACs, channel_scale 1.4, recipe imagenet") == 2
    assert "23,000,700 parameters, 15,540,700 MACs, hidden_size 745, recipe ptb" in text


def test_zoo_writes_cells_and_networks(here: Path) -> None:
    cell = json.loads(done("zoo shrink-cnn-a"))
    assert cell["edges"] == [[0, 1], [0, 2], [0, 3], [0, 4], [1, 3], [2, 4]]
    assert done("zoo shrink-rnn -o zoo.json") == "wrote zoo.json\n"
    assert source_at("zoo.json").cell == CELLS["shrink-rnn"].cell
    assert done("zoo shrink-cnn-b --network -o zoo.json") == "wrote zoo.json\n"
    assert network_at("zoo.json") == CELLS["shrink-cnn-b"].network


def test_a_device_is_written_into_and_not_replaced(here: Path) -> None:
    assert done("zoo shrink-rnn -o /dev/null") == "wrote /dev/null\n"
    assert Path("/dev/null").is_char_device()


# what other commands share


def test_sources_say_what_they_did_not_find(here: Path) -> None:
    with pytest.raises(StorageError, match=r"no network at none: give .* shrink-cnn-a, shrink-cnn"):
        network_at("none")
    with pytest.raises(StorageError, match=r"no cell at none: give .* looked up in 'elsewhere'"):
        source_at("none", "elsewhere")
    with pytest.raises(
        FileFormatError, match=r"cell.json is a cell, and a network is needed: auto"
    ):
        network_at("cell.json")
    with pytest.raises(
        FileFormatError, match=r"net.json is a network already, and a cell is needed"
    ):
        source_at("net.json")
    with pytest.raises(RunError, match=r"the run 'tiny' has no decided round yet"):
        source_at("open")


BAD = [
    ("count self-edge.json", "an edge (i, j) has 0 <= i < j < 5 nodes, got (2, 2)"),
    ("count op.json", "the operation of node 4 is one of sep3x3, conv1x1; got 'sep9x9'"),
    ("count width-0.json", "base_width: Input should be greater than or equal to 1, got 0"),
    ("count negative.json", "stem_filters: Input should be greater than or equal to 1, got -1"),
    ("count costs.json", "costs are those of the network that the file describes"),
    ("count newer.json", "newer.json has schema version 9; this release reads up to 1"),
    ("count key.json", "key.json is damaged: depth: Extra inputs are not permitted, got 3"),
    ("count text.json", "text.json is not valid JSON"),
    ("count runs", "cannot read"),
    ("count missing.json", "no network at missing.json: give path or URI of a network file"),
    ("count nope://x", "a storage location is a local path or a URI"),
    ("count net.json --plugin no.such", "a plug-in is an importable module"),
    ("derive shrink-cnn-a", "Missing option '--preset'"),
    ("derive missing --preset cifar", "no cell at missing: give path or URI of a cell file or"),
    ("derive text.json --preset cifar", "text.json is not valid JSON"),
    ("derive shrink-cnn-a --preset none", "unknown preset 'none'; choose one of cifar, digits"),
    ("derive shrink-rnn --preset cifar", "preset 'cifar' is for image networks"),
    ("derive shrink-cnn-a --preset cifar --hidden-size 3", "hidden_size is no setting of space"),
    ("derive shrink-rnn --preset ptb --channel-scale 3", "channel_scale is no setting of space"),
    ("derive shrink-cnn-a --preset cifar --vocabulary 3", "vocabulary is no part of the input of"),
    ("derive shrink-rnn --preset ptb --image-size 3", "height, width is no part of the input of"),
    (
        "derive shrink-cnn-a --preset cifar --replicate 1,x",
        "--replicate is whole numbers with comm",
    ),
    ("derive shrink-cnn-a --preset cifar --replicate 1", "3 of scale and 1 of replicate"),
    ("derive shrink-cnn-a --preset cifar --set depth", "--set takes KEY=VALUE"),
    ("derive shrink-cnn-a --preset cifar --set depth=3", "depth is no setting of space 'cnn'"),
    ("derive shrink-cnn-a --preset cifar --set scale=[", "--set scale: the value is not valid YAM"),
    (
        "derive shrink-cnn-a --preset cifar --set channel_scale=3 --channel-scale 2",
        "channel_scale is given twice: 2.0 and 3",
    ),
    (
        "derive shrink-cnn-a --preset cifar --target-macs 10M --channel-scale 2",
        "a budget decides channel_scale: give one of the two",
    ),
    (
        "derive shrink-rnn --preset ptb --target-macs 10M --set hidden_size=2",
        "a budget decides hidden_size: give one of the two",
    ),
    (
        "derive shrink-cnn-a --preset cifar --target-macs 10M --target-params 1M",
        "give --target-macs or --target-params",
    ),
    ("derive shrink-cnn-a --preset imagenet --target-macs 1k", "macs can be 12,548,432 to 621,9"),
    ("derive shrink-cnn-a --preset imagenet --target-macs 1000000G", "channel_scale 0.0001 to 64"),
    ("derive shrink-cnn-a --preset cifar --target-macs some", "--target-macs is a whole number"),
    ("derive shrink-cnn-a --preset digits -o net.json/below", "cannot write"),
    ("derive shrink-cnn-a --preset digits -o runs", "cannot write"),
    ("zoo none", "unknown cell 'none'; choose one of shrink-cnn-a"),
    ("zoo --network", "--network needs the name of a cell: shrink-cnn-a, shrink-cnn-b, shrink-rnn"),
    ("zoo -o file.json", "--output needs the name of a cell"),
]


@pytest.mark.parametrize(("command", "message"), BAD)
def test_bad_input_gives_one_message_and_exit_code_2(
    here: Path, command: str, message: str
) -> None:
    result = typed(command)
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
