"""How wrong a forecast is: real searches on this machine against what was said of them.

Each search is a command of its own, timed from its start to its return. `said` is the forecast with
the overheads that the project ships, `fitted` the one with the overheads of this bench's own runs
of one worker. A table search sleeps, so only the orchestration is under test; the small training
forecasts runs of several workers from the ledger of the run with one, whose trainings share
nothing with others.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

from autoshrink_ray import Run
from autoshrink_ray.config import SearchConfig
from autoshrink_ray.forecast import MEASURED, Overheads
from autoshrink_ray.forecast.subject import Subject
from autoshrink_ray.records import Evaluation
from tests.bench.overhead import at_least_one, machine

_PATIENCE = 900
_COMMAND = "from launch.cli import main; main()"


@dataclass(frozen=True)
class Timed:
    """A real search.

    Attributes:
        run: What it left.
        began: Unix time of the command.
        wall: Seconds until it returned.
    """

    run: Run
    began: float
    wall: float

    @property
    def trained(self) -> list[Evaluation]:
        """Its trainings by start."""
        found = (e for e in self.run.ledger.evaluations.values() if not e.cached)
        return sorted(found, key=lambda e: e.started)


def table_search(seconds: float) -> SearchConfig:
    """A search that sleeps."""
    return SearchConfig(
        space="table",
        plugins=("tests.plugins.table",),
        nodes=5,
        candidates=4,
        searches=2,
        proxy={"seconds": seconds},
        tensorboard="off",
    )


def small_training() -> SearchConfig:
    """A search that trains."""
    return SearchConfig.from_preset("demo", nodes=4, proxy={"epochs": 2}, tensorboard="off")


def timed(config: SearchConfig, workers: int, folder: str, number: int) -> Timed:
    """Runs a search as a command.

    Raises:
        RuntimeError: If it fails.
    """
    name = f"{config.space}-{workers}-{number}"
    cores = os.cpu_count() or 1
    chosen = config.model_copy(
        update={
            "name": name,
            "storage": folder,
            "max_concurrent": workers,
            "cpus_per_trial": min(1, cores / workers),
        }
    )
    path = Path(folder, f"{name}.yaml")
    path.write_text(chosen.model_dump_json(exclude_unset=True))  # JSON is YAML, too
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    command = [sys.executable, "-c", _COMMAND, "search", str(path), "--quiet"]
    began = time.time()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False
    )
    wall = time.time() - began
    if done.returncode:
        raise RuntimeError(f"the search {name} failed: {done.stderr[-2000:]}")
    return Timed(Run(name, folder), began, wall)


def measured(runs: Sequence[Timed]) -> Overheads:
    """Overheads of runs with one worker, each the median over the runs."""
    each = [_measured(run) for run in runs]
    return Overheads(
        **{f.name: median(getattr(one, f.name) for one in each) for f in fields(Overheads)}
    )


def _measured(timed_run: Timed) -> Overheads:
    trained = timed_run.trained
    handed_out = min(e.queued for e in trained)
    within: list[float] = []
    across: list[float] = []
    for before, after in itertools.pairwise(trained):
        gap = max(0.0, after.started - before.ended)
        same = before.candidate.place[:2] == after.candidate.place[:2]
        (within if same else across).append(gap)
    candidate = median(within or across)
    return Overheads(
        start=handed_out - timed_run.began,
        worker=trained[0].started - handed_out,
        candidate=candidate,
        round=max(0.0, median(across or within) - candidate),
        end=timed_run.began + timed_run.wall - max(e.ended for e in trained),
    )


_ROW = "{:<18}{:>8}{:>10}{:>16}{:>9}{:>8}{:>9}{:>8}"


def _line(name: str, subject: Subject, runs: Sequence[Timed], workers: int, own: Overheads) -> str:
    wall = median(run.wall for run in runs)
    spread = f"{min(r.wall for r in runs):.1f} - {max(r.wall for r in runs):.1f}"
    said, fitted = (
        median(draw.wall for draw in subject.simulate(workers, overheads))
        for overheads in (MEASURED, own)
    )
    numbers = (f"{said:.1f}", f"{said / wall:.2f}", f"{fitted:.1f}", f"{fitted / wall:.2f}")
    return _ROW.format(name, workers, f"{wall:.1f}", spread, *numbers)


def compare(
    name: str, config: SearchConfig, seconds: float | None, workers: Sequence[int], repeats: int
) -> tuple[list[str], Overheads]:
    """Lines of the table, and the overheads of the runs with one worker.

    Args:
        name: Of the search.
        config: The search.
        seconds: Of a training; None takes them from the first run with one worker.
        workers: Numbers of workers, 1 among them.
        repeats: Runs of each.
    """
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[int, list[Timed]] = {count: [] for count in workers}
        for number in range(repeats):
            for count in workers:
                runs[count].append(timed(config, count, folder, number))
        own = measured(runs[1])
        if seconds is None:
            subject = Subject.of_run(runs[1][0].run, None, 1)
        else:
            subject = Subject.of_config(config, seconds, 5)
        return [_line(name, subject, runs[n], n, own) for n in workers], own


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench forecast", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--repeats", type=at_least_one, default=2, help="runs of each kind (default 2)"
    )
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="what a table's training sleeps (default 0.5)"
    )
    parser.add_argument("--no-training", action="store_true", help="only the searches that sleep")
    given = parser.parse_args()
    if not 0 <= given.seconds <= 60:
        parser.error(f"--seconds is from 0 to 60, got {given.seconds}")
    print(machine(), flush=True)
    print(
        _ROW.format("search", "workers", "real, s", "from - to", "said, s", "ratio", "fitted", "")
    )
    lines, own = compare(
        "sleeping table", table_search(given.seconds), given.seconds, (1, 2, 4), given.repeats
    )
    print("\n".join(lines), flush=True)
    if not given.no_training:
        trained, _ = compare("small training", small_training(), None, (1, 2), 1)
        print("\n".join(trained))
    print("forecast.MEASURED should be " + repr(own))


if __name__ == "__main__":
    main()
