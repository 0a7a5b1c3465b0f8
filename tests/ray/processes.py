"""Processes of this machine, by their numbers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def descendants(ancestor: int) -> list[int]:
    """Children of a process, their children, and so on."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        parent = _stat(int(path.name))[1]
        children.setdefault(parent, []).append(int(path.name))
    found = [ancestor]
    for number in found:
        found += children.get(number, [])
    return found[1:]


def require_gone(numbers: Iterable[int], patience: float = 60) -> None:
    """Waits until processes have ended."""
    deadline = time.monotonic() + patience
    while left := [number for number in numbers if _stat(number)[0] not in "ZX"]:
        assert time.monotonic() < deadline, f"processes {left} live on"
        time.sleep(0.1)


def end(numbers: Iterable[int]) -> None:
    """Kills processes that may have ended already."""
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def _stat(number: int) -> tuple[str, int]:
    """State and parent; one that has ended is in state Z, or X."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return fields[0], int(fields[1])
