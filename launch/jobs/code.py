"""What travels with a job: the code, without what only looks like it, and files it names."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from autoshrink_ray.errors import ConfigError

PACKAGES = ("autoshrink_ray", "search_spaces", "trainables", "launch")
INPUTS = "inputs"
"""Folder of the files that a command names, in what is uploaded."""

LIMIT = 100 * 2**20
"""Bytes of an upload at most: every node of the cluster keeps a copy."""

_JUNK = frozenset({"__pycache__", "node_modules", "venv"})
_JUNK_AT_THE_TOP = frozenset({"build", "data", "datasets", "dist", "env", "runs"})
"""Folders that stay here unless git knows what is in them."""

_MIB = 2**20


def stage(target: Path, code: Path | None, inputs: Mapping[str, Path]) -> None:
    """Gathers in the folder `target` what is uploaded.

    Files that git ignores, those whose names begin with a dot, caches, environments, runs and
    data stay here. Our own packages are added where the code is elsewhere.

    Args:
        target: An empty folder.
        code: Folder of the code; None where the cluster's image has it.
        inputs: Files that the command names, by the name that it knows them by there.

    Raises:
        ConfigError: If it is too large.
    """
    files = dict(_code(code)) if code is not None else {}
    files |= dict(inputs)
    _require_small(files)
    for name, path in files.items():
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)  # with its permissions


def _code(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of the code by their names below its folder."""
    if not folder.is_dir():
        raise ConfigError(f"--working-dir is a folder, got {str(folder)!r}")
    for name in sorted(_listed(folder)):
        if (folder / name).is_file() and not _is_hidden(Path(name)):
            yield name, folder / name
    home = Path(__file__).parents[2]
    if home == folder.resolve():
        return
    for package in PACKAGES:
        if not (folder / package).is_dir():
            for path in sorted((home / package).rglob("*")):
                if path.is_file() and not _is_hidden(path.relative_to(home)):
                    yield str(path.relative_to(home)), path


def _is_hidden(name: Path) -> bool:
    """Settings, secrets and caches: a job needs none of them."""
    return any(part.startswith(".") or part == "__pycache__" for part in name.parts)


def _is_junk(name: Path) -> bool:
    return name.parts[0] in _JUNK_AT_THE_TOP or not _JUNK.isdisjoint(name.parts)


def _listed(folder: Path) -> list[str]:
    """Names of its files: what git tracks, and what it does not ignore; without git all."""
    tracked = _git(folder, "--cached")
    if tracked is not None:
        others = _git(folder, "--others", "--exclude-standard") or []
        found = tracked + [name for name in others if not _is_junk(Path(name))]
        if found:
            return found
    return list(_walked(folder))  # no repository, or a folder that one ignores as a whole


def _git(folder: Path, *kinds: str) -> list[str] | None:
    command = ["git", "-C", str(folder), "ls-files", "-z", *kinds]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return [name for name in os.fsdecode(done.stdout).split("\0") if name]


def _walked(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        below = Path(place).relative_to(folder)
        folders[:] = [f for f in folders if not _is_hidden(Path(f)) and not _is_junk(below / f)]
        yield from (str(below / name) for name in names)


def _require_small(files: Mapping[str, Path]) -> None:
    sizes = {name: path.stat().st_size for name, path in files.items()}
    if sum(sizes.values()) <= LIMIT:
        return
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    named = ", ".join(f"{name} ({sizes[name] / _MIB:.0f} MiB)" for name in largest)
    raise ConfigError(
        f"what travels with a job is at most {LIMIT // _MIB} MiB, and this is "
        f"{sum(sizes.values()) / _MIB:.0f} MiB; the largest files are {named}: have git ignore "
        f"them, put data into the storage, give another --working-dir, or --image-code where the "
        f"cluster's image has the code"
    )
