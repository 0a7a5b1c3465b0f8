"""What the README tells a reader to type is what the project does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from launch import cli

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.replace("\\\n", " ").splitlines()]
    typed = (line.partition(" # ")[0].strip() for line in lines)
    return [line.partition("autoshrink-ray ")[2] for line in typed if "autoshrink-ray " in line]


@pytest.mark.parametrize("command", commands())
def test_every_command_and_option_exists(command: str) -> None:
    """`--help` last: the options are parsed, the command is not run."""
    done = CliRunner().invoke(cli.app, [*shlex.split(command), "--help"])
    assert done.exit_code == 0, done.output
    options = {word for word in shlex.split(command) if word.startswith("--")}
    missing = {option for option in options if option not in done.output}
    assert not missing


def test_the_readme_has_commands() -> None:
    assert len(commands()) > 10


def test_the_plugin_example_runs(tmp_path: Path) -> None:
    example = next(block for block in blocks("python") if block.startswith("# my_plugin.py"))
    (tmp_path / "my_plugin.py").write_text(example)
    options = "--epochs 1 --nodes 3 --candidates 1 --executor in-process --quiet"
    own = ["--plugin", "my_plugin", "--space", "small-cells"]
    arguments = ["search", *own, *options.split()]
    entry = [sys.executable, "-c", "from launch.cli import main; main()", *arguments]
    done = subprocess.run(entry, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Best cell" in done.stdout


def test_the_python_example_runs(tmp_path: Path) -> None:
    """As printed, but on a cell that takes a second instead of a minute."""
    example = next(block for block in blocks("python") if "run_search(config" in block)
    small = example.replace(
        'from_preset("demo", space="rnn", seed=1)',
        'from_preset("demo", nodes=3, executor="in-process", proxy={"epochs": 1})',
    )
    assert small != example
    done = subprocess.run(
        [sys.executable, "-c", small], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "finished" in done.stdout


def test_the_backbone_example_runs(tmp_path: Path) -> None:
    example = next(block for block in blocks("python") if "module.features(" in block)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(32, 64, 128) (1, 2, 4)"
