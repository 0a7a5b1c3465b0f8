"""What a node says of itself.

It runs on the node and travels there as code, not by name, so that a node without this package can
say so. Hence everything but the standard library is imported inside, and it answers in plain data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

DRIVERS = "driver"
"""File of a probe that the driver writes; each node writes one under its own name."""

DELAY = 3.0
"""Seconds in which a network file system has to show a new file."""

UNSEEN = "a file that the driver has just written there is not seen from the node"
OTHER = "a file that the driver has just written there has other content on the node"


def look(
    modules: Sequence[str],
    packages: Sequence[str],
    probes: Sequence[str],
    content: bytes,
    mine: str,
    files: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Looks around.

    Args:
        modules: Modules that trials import.
        packages: Installed packages whose releases are wanted.
        probes: Folders that the driver made, each with a file that holds `content`.
        content: What the driver wrote, and this node writes.
        mine: Name of the file that this node writes.
        files: Folder and name of each file that trials read.

    Returns:
        `host`, `releases` by name, `missing` modules, and for each folder or file that cannot
        be used why: `probes` and `files`, by their number.
    """
    import socket

    missing = [module for module in modules if not _importable(module)]
    answer: dict[str, Any] = {
        "host": socket.gethostname(),
        "releases": {"python": _python()} | {name: _release(name) for name in packages},
        "missing": missing,
        "probes": {},
        "files": {},
    }
    if "autoshrink_ray" not in missing:
        answer["probes"] = _numbered([_tried(place, content, mine) for place in probes])
        answer["files"] = _numbered([_readable(folder, name) for folder, name in files])
    return answer


def _numbered(reasons: Sequence[str | None]) -> dict[int, str]:
    return {number: reason for number, reason in enumerate(reasons) if reason is not None}


def _importable(module: str) -> bool:
    """Whether it is there. Neither it nor its package is imported: torch alone takes seconds."""
    import sys
    from importlib.machinery import PathFinder

    if module in sys.modules:
        return True
    parts, path = module.split("."), None
    for depth in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), path)
        path = None if spec is None else spec.submodule_search_locations
        if spec is None or (path is None and depth < len(parts)):
            return False
    return True


def _python() -> str:
    import platform

    return platform.python_version()


def _release(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _tried(place: str, content: bytes, mine: str) -> str | None:
    """Reads what the driver wrote, and writes the same for it to read."""
    from autoshrink_ray.errors import AutoshrinkError
    from autoshrink_ray.storage import Folder

    try:
        folder = Folder(place)
        if not _appears(folder):
            return UNSEEN
        if folder.read(DRIVERS) != content:
            return OTHER
        folder.write(mine, content)
    except AutoshrinkError as error:
        return str(error)
    return None


def _appears(folder: Any) -> bool:
    import time

    deadline = time.monotonic() + DELAY
    while not folder.exists(DRIVERS):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _readable(folder: str, name: str) -> str | None:
    from autoshrink_ray.errors import AutoshrinkError
    from autoshrink_ray.storage import Folder

    try:
        return None if Folder(folder).exists(name) else "there is no such file"
    except AutoshrinkError as error:
        return str(error)
