"""What a long run leaves behind in the driver's memory, its open files and the run's folder.

One search with everything switched on, whose trainings do nothing. The first evaluations are not
counted: until then Ray, Arrow and the executor's workers settle.
"""

from __future__ import annotations

import argparse
import io
import resource
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from autoshrink_ray import RunObserver, SearchConfig, run_search
from autoshrink_ray.json_progress import JsonProgress
from autoshrink_ray.progress import ConsoleProgress
from tests.bench.overhead import cluster, machine

_MOST_MEMORY = 50 * 1024
"""Bytes by which the driver may grow with an evaluation."""

_MOST_ON_DISK = 20 * 1024
"""Bytes of the run's folder for an evaluation."""

_MOST_FILES = 5
"""Open files by which a run may differ from itself: one that is being written, a connection."""

_NODES, _CANDIDATES = 12, 60
"""Rounds of sixty candidates: some sixteen hundred evaluations of the largest cell."""


@dataclass(frozen=True)
class Sample:
    """The driver at one moment.

    Attributes:
        evaluations: Evaluations that are final.
        memory: Bytes of memory that it holds.
        files: Files and connections that it has open.
    """

    evaluations: int
    memory: int
    files: int


class Probe(RunObserver):
    """Takes a sample every so many evaluations."""

    def __init__(self, every: int) -> None:
        self.samples: list[Sample] = []
        self.heard = 0
        self._every = every

    def on_evaluation(self, evaluation: Any) -> None:
        self.heard += 1
        if self.heard % self._every == 0:
            self.samples.append(Sample(self.heard, _memory(), _open_files()))


def _memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class _Nowhere(io.TextIOBase):
    """Takes text and forgets it."""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


def everything_on(evaluations: int, workers: int, folder: Path) -> tuple[Probe, Path]:
    """Runs a search of at least so many evaluations; the samples, and the run's folder."""
    probe = Probe(every=max(1, evaluations // 60))
    config = SearchConfig(
        space="table",
        plugins=("tests.plugins.table",),
        nodes=_NODES,
        candidates=_CANDIDATES,
        keep_fraction=0.02,
        searches=-(-evaluations // 1500),
        max_concurrent=workers,
        trial_timeout=600,
        cache=str(folder / "cache"),
        storage=str(folder / "runs"),
        name="long",
    )
    nowhere = _Nowhere()
    with ConsoleProgress(Console(file=nowhere, force_terminal=True)) as progress:
        run = run_search(config, observers=[progress, JsonProgress(nowhere), probe])
    return probe, Path(run.folder.path)


def growth(samples: list[Sample]) -> float:
    """Bytes of memory for an evaluation: the slope of the line through the samples."""
    xs = [sample.evaluations for sample in samples]
    ys = [sample.memory for sample in samples]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    steep = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    return steep / sum((a - x) ** 2 for a in xs)


@dataclass(frozen=True)
class Result:
    """What is reported.

    Attributes:
        evaluations: Evaluations of the run.
        memory: Bytes by which the driver grew with an evaluation.
        files: Least and largest number of open files.
        on_disk: Bytes of the run's folder for an evaluation.
        blocks: The same as the filesystem counts them, in whole blocks.
    """

    evaluations: int
    memory: float
    files: tuple[int, int]
    on_disk: float
    blocks: float

    @classmethod
    def of(cls, probe: Probe, warm_up: int, run: Path) -> Result:
        """Of a run that has returned."""
        settled = [sample for sample in probe.samples if sample.evaluations >= warm_up]
        counts = [sample.files for sample in settled]
        sizes = [path.stat() for path in run.rglob("*") if path.is_file()]
        return cls(
            evaluations=probe.heard,
            memory=growth(settled),
            files=(min(counts), max(counts)),
            on_disk=sum(size.st_size for size in sizes) / probe.heard,
            blocks=512 * sum(size.st_blocks for size in sizes) / probe.heard,
        )

    @property
    def within_bounds(self) -> bool:
        """Whether a run can be as long as it likes."""
        flat = self.files[1] - self.files[0] <= _MOST_FILES
        return flat and self.memory < _MOST_MEMORY and self.on_disk < _MOST_ON_DISK

    def __str__(self) -> str:
        memory, on_disk, blocks = (
            f"{n / 1024:.1f}" for n in (self.memory, self.on_disk, self.blocks)
        )
        return "\n".join(
            [
                f"memory of the driver, KB/evaluation (less than {_MOST_MEMORY // 1024}): {memory}",
                f"open files (differ by {_MOST_FILES} at most): {self.files[0]} - {self.files[1]}",
                f"run's folder, KB/evaluation (less than {_MOST_ON_DISK // 1024}): {on_disk}, "
                f"{blocks} in whole blocks",
            ]
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench memory", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--evaluations", type=int, default=3000, help="at least (default 3000)")
    parser.add_argument("--workers", type=int, default=2, help="one CPU each (default 2)")
    given = parser.parse_args()
    if given.evaluations < 300 or given.workers < 1:
        parser.error("--evaluations is at least 300 and --workers at least 1")
    host = machine()
    with cluster(given.workers), tempfile.TemporaryDirectory(prefix="memory-") as folder:
        probe, run = everything_on(given.evaluations, given.workers, Path(folder))
        result = Result.of(probe, given.evaluations // 5, run)
    print(f"{host}\n{result.evaluations} no-op evaluations, {given.workers} workers\n{result}")
    sys.exit(not result.within_bounds)


if __name__ == "__main__":
    main()
