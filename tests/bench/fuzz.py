"""Reads damaged files by the thousand: none may raise an exception that is not ours."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.core.subjects import SUBJECTS as CORE
from tests.mutations import Subject, mutated, same_packages
from tests.trainables.subjects import SUBJECTS as TRAINABLES

_PATIENCE = 20
"""Seconds after which a reader hangs."""

_ROOM = 2 * 2**30
"""Bytes of memory that all readers together may take on top of what importing them took."""


class _HangError(Exception):
    """A reader does not come back."""


@dataclass
class Finding:
    """What became of one kind of file.

    Attributes:
        inputs: Damaged files that were read.
        refused: Those that one of our errors refused.
        slowest: Seconds of the slowest.
        foreign: Exceptions that are not ours, by place, and a seed that gives each.
    """

    inputs: int = 0
    refused: int = 0
    slowest: float = 0.0
    foreign: Counter[str] = field(default_factory=Counter)
    seeds: dict[str, int] = field(default_factory=dict)


def fuzz(subject: Subject, inputs: int, first_seed: int) -> Finding:
    """Reads `inputs` damaged versions of a file."""
    finding = Finding()
    for seed in range(first_seed, first_seed + inputs):
        content = mutated(subject, Random(seed))
        begin = time.perf_counter()
        try:
            with _no_longer_than(_PATIENCE):
                finding.refused += not subject.survives(content)
        except Exception as error:  # noqa: BLE001 - these are what we look for
            place = _place(error)
            finding.foreign[place] += 1
            finding.seeds.setdefault(place, seed)
        finding.inputs += 1
        finding.slowest = max(finding.slowest, time.perf_counter() - begin)
    return finding


def _place(error: Exception) -> str:
    ours = [f for f in traceback.extract_tb(error.__traceback__) if "/tests/" not in f.filename]
    where = next((f for f in reversed(ours) if "site-packages" not in f.filename), None)
    what = f"{type(error).__name__}: {str(error)[:100]!r}"
    return f"{what} at {Path(where.filename).name}:{where.lineno}" if where else what


@contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    def ring(number: int, frame: Any) -> None:
        raise _HangError(f"takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _limit_memory() -> None:
    """A reader that asks for gigabytes gets a MemoryError, which is not ours."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


_ROW = "{:<34}{:>8}{:>9}{:>7}{:>9}{:>12}"


def report(findings: dict[str, Finding]) -> str:
    """The table, and what was found."""
    lines = [_ROW.format("", "inputs", "refused", "read", "foreign", "slowest, s")]
    for name, f in findings.items():
        foreign = f.foreign.total()
        read = f.inputs - f.refused - foreign
        lines.append(_ROW.format(name, f.inputs, f.refused, read, foreign, f"{f.slowest:.2f}"))
    for name, f in findings.items():
        for place, count in f.foreign.most_common():
            lines.append(f"{name}: {count} x {place} (seed {f.seeds[place]})")
    return "\n".join(lines)


def main() -> None:
    known: dict[str, Callable[[Path], Subject]] = {**CORE, **TRAINABLES}
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="of each kind of file")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("--only", default="", help="kinds of files whose name has this in it")
    given = parser.parse_args()
    warnings.simplefilter("error")  # a warning would be printed to a user who cannot act on it
    _limit_memory()
    findings = {}
    for name in (name for name in known if given.only in name):
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, same_packages():
            findings[name] = fuzz(known[name](Path(folder, "at")), given.inputs, given.seed)
        print(f"{name}: {findings[name].foreign.total()} foreign", file=sys.stderr, flush=True)
    print(report(findings))
    sys.exit(any(finding.foreign for finding in findings.values()))


if __name__ == "__main__":
    main()
