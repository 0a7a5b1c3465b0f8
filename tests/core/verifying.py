"""Changing a run, and asking `verify` about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoshrink_ray import Run
from autoshrink_ray.errors import VerificationError
from autoshrink_ray.files import digest
from autoshrink_ray.verify import verify

CHECKS = ["checksums", "configuration", "cells", "uses", "decisions", "results"]


def names(folder: Path, **options: Any) -> list[str]:
    return [check.name for check in verify(Run(str(folder)), **options)]


def contradiction(folder: Path, **options: Any) -> str:
    with pytest.raises(VerificationError) as caught:
        names(folder, **options)
    assert caught.value.exit_code == 1
    return str(caught.value)


def object_of(folder: Path, name: str) -> Path:
    (path,) = (folder / "ledger" / "search-000").glob(f"*/{name}.json")
    return path


def change(path: Path, edit: Callable[[dict[str, Any]], Any], uses: Any = None) -> None:
    """Changes a ledger object's record and makes its checksum anew."""
    envelope = json.loads(path.read_bytes())
    body = json.loads(envelope["body"])
    edit(body)
    envelope["body"] = json.dumps(body)
    envelope["uses"] = envelope["uses"] if uses is None else uses
    envelope["sha256"] = digest("\n".join([envelope["body"], *envelope["uses"]]).encode())
    path.write_text(json.dumps(envelope))


def set_in(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def edit(body: dict[str, Any]) -> None:
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] = to(body[path[-1]]) if callable(to) else to

    return edit


def configure(folder: Path, section: str, **changes: Any) -> None:
    content = yaml.safe_load((folder / "run.yaml").read_text())
    content[section].update(changes)
    (folder / "run.yaml").write_text(yaml.safe_dump(content))
