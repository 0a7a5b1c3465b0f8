"""A search as a process of its own on a cluster of the test's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

SEARCH = "from launch.cli import main; main()"


@contextmanager
def searching(
    address: str, folder: Path, settings: dict[str, Any], *options: str
) -> Iterator[subprocess.Popen[str]]:
    """`autoshrink-ray search` with its output to read, as run `spot`."""
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    entry = [sys.executable, "-c", SEARCH, "search", "run.yaml", "--name", "spot"]
    process = subprocess.Popen(
        [*entry, "--address", address, *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    """Waits for the end; returns what was printed."""
    output, errors = process.communicate(timeout=120)  # Ray's own lines on the nodes, too
    assert process.returncode == code, output + errors
    return output + errors


def alive(process: subprocess.Popen[str]) -> Any:
    """Says whether the driver is."""
    return lambda: process.poll() is None
