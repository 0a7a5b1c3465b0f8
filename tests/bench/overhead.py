"""What a candidate costs beside its training: candidates that do nothing, carried in three ways.

The same number of candidates goes through this project's scheduler, through plain Ray Tune and
through Ray's ActorPool, on one local cluster. The clock runs on the driver from the last warm-up
result to the last result, so the start of workers and the end of experiments are outside; the
column `whole` has them in. `processes` counts the worker processes that gave results: Tune may
take fewer than it is allowed, and may start new ones on the way.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

# Tune looks at these when it is imported. They make plain Tune silent, not slower.
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"

import ray
from ray import tune
from ray.util import ActorPool

from autoshrink_ray import RunObserver, SearchConfig, run_search

_NODES = 8
"""Large enough a cell for thousands of different candidates: each must be a trial of its own."""

_PATIENCE = 60
"""Seconds that a worker may take to start."""


@dataclass(frozen=True)
class Sample:
    """One measurement.

    Attributes:
        per_candidate: Milliseconds from one result to the next, on average.
        whole: Seconds from the call to its return.
        processes: Worker processes that gave results.
    """

    per_candidate: float
    whole: float
    processes: int


class Clock:
    """Notes when each result reaches the driver, and what processes they came from."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._results: list[float] = []
        self.processes: set[str] = set()

    def tick(self) -> None:
        self._results.append(time.perf_counter())

    def sample(self, candidates: int, warm_up: int) -> Sample:
        """Of a way that has just returned.

        Raises:
            RuntimeError: If it gave another number of results than it should.
        """
        whole = time.perf_counter() - self._begin
        if len(self._results) != warm_up + candidates:
            raise RuntimeError(f"{len(self._results)} results, not {warm_up + candidates}")
        seconds = self._results[-1] - self._results[warm_up - 1]
        return Sample(1000 * seconds / candidates, whole, len(self.processes))


class _SearchClock(RunObserver):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_evaluation(self, evaluation: Any) -> None:
        if not evaluation.cached:
            self._clock.tick()


def through_search(count: int, workers: int, clock: Clock) -> None:
    """A random search on the table space: scheduler, ledger and all."""
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            space="table",
            plugins=("tests.plugins.table",),
            algorithm="random",
            budget=count,
            nodes=_NODES,
            max_concurrent=workers,
            proxy={"folder": folder},
            storage=f"{folder}/runs",
        )
        run_search(config, observers=[_SearchClock(clock)])
        clock.processes.update(path.name for path in Path(folder).glob("pid-*"))


class NoOp(tune.Trainable):
    """A trial of plain Tune that has nothing to do.

    The first ones wait for each other. Otherwise Tune puts every trial on the worker that is up
    first, and the others never start.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._number = new_config["number"]
        self._meet = new_config["meet"]
        return True

    def step(self) -> dict[str, Any]:
        if self._number < self._meet["workers"]:
            self._wait_for_others()
        return {"accuracy": self._number, "done": True}

    def _wait_for_others(self) -> None:
        folder = Path(self._meet["folder"])
        (folder / f"up-{self._number}").touch()
        deadline = time.monotonic() + _PATIENCE
        while len(list(folder.glob("up-*"))) < self._meet["workers"]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the other workers did not start within {_PATIENCE} s")
            time.sleep(0.01)


class _TuneClock(tune.Callback):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._clock.tick()
        self._clock.processes.add(str(result["pid"]))


def through_tune(count: int, workers: int, clock: Clock) -> None:
    """Plain Ray Tune with actor reuse, its loggers and checkpoints of trials off."""
    with tempfile.TemporaryDirectory() as folder:
        tune.Tuner(
            tune.with_resources(NoOp, {"CPU": 1}),
            param_space={
                "number": tune.grid_search(list(range(count))),
                "meet": {"workers": workers, "folder": folder},
            },
            tune_config=tune.TuneConfig(max_concurrent_trials=workers, reuse_actors=True),
            run_config=tune.RunConfig(
                name="plain",
                storage_path=f"{folder}/runs",
                callbacks=[_TuneClock(clock)],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        ).fit()


@ray.remote(num_cpus=1)
class _Idler:
    def evaluate(self, seed: int) -> dict[str, Any]:
        return {"accuracy": seed, "pid": os.getpid()}


def through_pool(count: int, workers: int, clock: Clock) -> None:
    """Ray without Tune: the least that a candidate can cost here."""
    actors = [_Idler.remote() for _ in range(workers)]
    pool = ActorPool(actors)
    results = pool.map_unordered(lambda actor, seed: actor.evaluate.remote(seed), range(count))
    for result in results:
        clock.tick()
        clock.processes.add(str(result["pid"]))
    for actor in actors:
        ray.kill(actor)


_BASELINE = "plain Ray Tune, actors reused"
_WAYS: dict[str, Callable[[int, int, Clock], None]] = {
    "this project's scheduler": through_search,
    _BASELINE: through_tune,
    "ActorPool": through_pool,
}


def measure(candidates: int, warm_up: int, workers: int, repeats: int) -> dict[str, list[Sample]]:
    """Samples of each way; the ways take turns, so that a slow spell of the machine hits all."""
    samples: dict[str, list[Sample]] = {name: [] for name in _WAYS}
    for _ in range(repeats):
        for name, way in _WAYS.items():
            clock = Clock()
            way(warm_up + candidates, workers, clock)
            samples[name].append(clock.sample(candidates, warm_up))
    return samples


@contextmanager
def cluster(workers: int) -> Iterator[None]:
    """A local cluster with as many CPUs as there are workers."""
    ray.init(
        address="local",
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def machine() -> str:
    """CPU, cores and versions, as a figure should be quoted with."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.processor() or platform.machine()
    load = os.getloadavg()[0]
    return (
        f"{cpu}, {os.cpu_count()} cores, load {load:.1f} before the start; "
        f"Python {platform.python_version()}, Ray {ray.__version__}"
    )


_ROW = "{:<32}{:>13}{:>17}{:>8}{:>11}{:>10}"


def report(samples: dict[str, list[Sample]]) -> str:
    """The table: medians, and the range of the repeats."""
    medians = {name: median(s.per_candidate for s in of_way) for name, of_way in samples.items()}
    titles = ("ms/candidate", "least - most", "ratio", "processes", "whole, s")
    lines = [_ROW.format("", *titles)]
    for name, of_way in samples.items():
        each = sorted(s.per_candidate for s in of_way)
        spread = f"{each[0]:.2f} - {each[-1]:.2f}"
        ratio = medians[name] / medians[_BASELINE]
        whole = median(s.whole for s in of_way)
        processes = f"{median(s.processes for s in of_way):g}"
        lines.append(
            _ROW.format(
                name, f"{medians[name]:.2f}", spread, f"{ratio:.2f}", processes, f"{whole:.1f}"
            )
        )
    return "\n".join(lines)


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"is at least 1, got {number}")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=(__doc__ or "").splitlines()[0]
    )
    options = {
        "candidates": (200, "candidates that are timed"),
        "warm-up": (40, "candidates before them that are not"),
        "workers": (2, "worker processes, one CPU each"),
        "repeats": (3, "how often everything is measured; medians are printed"),
    }
    for name, (default, text) in options.items():
        parser.add_argument(
            f"--{name}", type=at_least_one, default=default, help=f"{text} (default {default})"
        )
    given = parser.parse_args()
    if given.warm_up < given.workers:
        parser.error(f"--warm-up is at least --workers, {given.workers}, got {given.warm_up}")
    host = machine()
    with cluster(given.workers):
        samples = measure(given.candidates, given.warm_up, given.workers, given.repeats)
    print(host)
    print(
        f"{given.candidates} no-op candidates after {given.warm_up}, {given.workers} workers, "
        f"median of {given.repeats}; ratio to plain Ray Tune"
    )
    print(report(samples))


if __name__ == "__main__":
    main()
