"""What TensorBoard's streams cost a search, and how soon its pages show one of 1,000 candidates.

Searches of candidates that do nothing, in-process, with and without the streams, take turns. The
cost is what a candidate takes longer with them, pictures and figures included. Then the command
shows a `summary` and a `full` run, and the clock runs until Chromium shows a chart and the table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from autoshrink_ray import Run, SearchConfig, run_search
from tests.bench.overhead import at_least_one, machine
from tests.browser.pages import Page, chromium, missing, served

_MODES = ("off", "summary", "full")

_WAYS: dict[str, dict[str, Any]] = {
    "shrinking, 8 nodes, k = 10": {"searches": 5},
    "random, one round": {"algorithm": "random", "budget": 1000},
}


@dataclass(frozen=True)
class Sample:
    """One search.

    Attributes:
        candidates: How many it evaluated.
        wall: Milliseconds a candidate.
        cpu: The same as CPU time of this process, which other work on the machine changes less.
    """

    candidates: int
    wall: float
    cpu: float


def searched(storage: str, name: str, mode: str, settings: dict[str, Any]) -> Sample:
    """A search with one mode of the streams."""
    config = SearchConfig.of(
        {
            "space": "table",
            "plugins": ("tests.plugins.table",),
            "nodes": 8,
            "executor": "in-process",
            "storage": storage,
            "name": name,
            "tensorboard": mode,
        }
        | settings
    )
    wall, cpu = time.perf_counter(), time.process_time()
    run = run_search(config)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count = len(run.ledger.evaluations)
    return Sample(count, 1000 * wall / count, 1000 * cpu / count)


def costs(settings: dict[str, Any], repeats: int) -> dict[str, list[Sample]]:
    """Samples of each mode, after a search that warms up."""
    samples: dict[str, list[Sample]] = {mode: [] for mode in _MODES}
    with tempfile.TemporaryDirectory() as storage:
        searched(storage, "warm-up", "summary", settings | {"searches": 1})
        for repeat in range(repeats):
            for mode in _MODES:
                samples[mode].append(searched(storage, f"{mode}-{repeat}", mode, settings))
    return samples


_ROW = "{:<10}{:>12}{:>16}{:>12}{:>8}{:>14}"


def report(samples: dict[str, list[Sample]]) -> Iterator[str]:
    """The table: medians, what the streams add, and the ratio to a search without."""
    titles = ("candidates", "ms/candidate", "added, ms", "ratio", "added CPU, ms")
    yield _ROW.format("", *titles)
    without = median(s.wall for s in samples["off"])
    without_cpu = median(s.cpu for s in samples["off"])
    for mode, of_mode in samples.items():
        wall, cpu = median(s.wall for s in of_mode), median(s.cpu for s in of_mode)
        yield _ROW.format(
            mode,
            of_mode[0].candidates,
            f"{wall:.2f}",
            f"{wall - without:.2f}",
            f"{wall / without:.2f}",
            f"{cpu - without_cpu:.2f}",
        )


def opened(mode: str) -> Iterator[str]:
    """How long it takes until pages show a run of 1,000 candidates."""
    with tempfile.TemporaryDirectory() as storage, chromium() as driver:
        searched(storage, mode, mode, _WAYS["shrinking, 8 nodes, k = 10"])
        streams = len({path.parent for path in Path(storage).rglob("events.out.tfevents.*")})
        count = len(Run(f"{storage}/{mode}").ledger.evaluations)
        begin = time.perf_counter()
        with served(Path(storage), mode) as url:
            page = Page(driver, url)
            up = time.perf_counter() - begin
            for name, selector in (
                ("custom_scalars", "path.line"),
                ("images", "tf-image-loader >>> img"),
                ("hparams", "vaadin-grid >>> td"),
            ):
                before = time.perf_counter()
                page.open(name)
                page.wait(lambda: page.look(selector, "1"), name)  # noqa: B023
                yield f"{mode}, {count} candidates, {streams} streams: {name} after {time.perf_counter() - before:.1f} s"
            yield f"{mode}: server up after {up:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench tensorboard", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--repeats", type=at_least_one, default=3, help="searches of each kind (default 3)"
    )
    given = parser.parse_args()
    print(machine())
    for name, settings in _WAYS.items():
        print(f"\n{name}, median of {given.repeats}")
        print("\n".join(report(costs(settings, given.repeats))), flush=True)
    print(missing() or "\n".join(line for mode in ("summary", "full") for line in opened(mode)))


if __name__ == "__main__":
    main()
