"""Drivers as processes of their own, with a lease that tests can wait for.

Run as a module it is one driver: it reads its settings as JSON from its first argument and writes
what happens as `--json-progress` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoshrink_ray import Measurement, SearchConfig, Topology, lease, run_search
from autoshrink_ray import run as run_module
from autoshrink_ray.errors import AutoshrinkError
from autoshrink_ray.json_progress import JsonProgress
from tests.plugins.table import TableEvaluator

ROOT = Path(__file__).parents[2]

HEARTBEAT, EXPIRY = 0.1, 1.0


def table(storage: Path, **changes: Any) -> SearchConfig:
    """Searches whose trainings take `proxy.seconds`, and give the same wherever they run."""
    settings: dict[str, Any] = {
        "space": "table",
        "plugins": ["tests.plugins.table"],
        "executor": "in-process",
        "storage": str(storage),
        "name": "run",
        "nodes": 5,
        "candidates": 3,
    }
    return SearchConfig.of(settings | changes)


def quick(storage: Path, **changes: Any) -> SearchConfig:
    """The same without TensorBoard's pictures, which take longer than everything else."""
    return table(storage, **{"tensorboard": "off", **changes})


class NoLease(lease.Hold):
    """Held by everybody."""

    def __init__(self) -> None:
        """Needs no folder."""
        self._lost = threading.Event()

    def is_lost_now(self) -> bool:
        return False


class Driver:
    """A driver in a process of its own, stopped when the block ends.

    Args:
        config: Its run.
        lease: Whether it cares for the lease.
        noise: Added to the accuracies that it measures: a machine with other last digits.
        heartbeat: Seconds between its signs of life.
    """

    def __init__(
        self,
        config: SearchConfig,
        *,
        lease: bool = True,
        noise: float = 0.0,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        settings = {
            "config": config.model_dump(mode="json"),
            "lease": lease,
            "noise": noise,
            "heartbeat": heartbeat,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.core.processes", json.dumps(settings)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *arguments: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def events(self, event: str) -> Iterator[dict[str, Any]]:
        """What it tells of one kind, from now on; it is read as it is written."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            told = json.loads(line)
            if told["event"] == event:
                yield told

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """The `times`-th event of a kind from now on."""
        for number, told in enumerate(self.events(event), 1):
            if number == times:
                return told
        raise AssertionError(f"ended before it told {times} times of {event}: {self.end()}")

    def end(self) -> tuple[int, str]:
        """Exit code and error message, once it has ended."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


def main() -> int:
    """One driver."""
    settings = json.loads(sys.argv[1])
    lease.HEARTBEAT, lease.EXPIRY = settings["heartbeat"], EXPIRY
    if not settings["lease"]:
        run_module.held = lambda *given: contextlib.nullcontext(NoLease())  # type: ignore[assignment]
    config = SearchConfig.of(settings["config"])
    progress = JsonProgress(sys.stdout)
    try:
        with noisy(settings["noise"]):
            progress.end(run_search(config, observers=[progress]))
    except AutoshrinkError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    return 0


@contextlib.contextmanager
def noisy(noise: float) -> Iterator[None]:
    """Another machine, whose numbers lie beside."""
    exact = TableEvaluator.evaluate

    def beside(self: TableEvaluator, topology: Topology, seed: int) -> Measurement:
        measurement = exact(self, topology, seed)
        accuracy = (measurement.metrics["accuracy"] + noise) % 1.0
        metrics = {**measurement.metrics, "accuracy": accuracy}
        return measurement.model_copy(update={"metrics": metrics})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TableEvaluator, "evaluate", beside)
        yield


if __name__ == "__main__":
    raise SystemExit(main())
