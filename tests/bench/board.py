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

from autoshrink_ray import SearchConfig, run_search
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


_PAGES = {
    "custom_scalars": "vz-line-chart2 >>> path.line",
    "images": "tf-image-loader >>> img",
    "hparams": "vaadin-grid >>> td",
}
"""What shows that a page has its data."""

_SEARCHES = "search(-%5Cd%2B)%3F$"
"""The command's link selects these streams, where TensorBoard by itself would select none."""


def opened(mode: str) -> Iterator[str]:
    """How long it takes from the command to pages with data, of about 1,000 candidates."""
    with tempfile.TemporaryDirectory() as storage, chromium() as driver:
        done = searched(storage, mode, mode, _WAYS["shrinking, 8 nodes, k = 10"])
        files = list(Path(storage).rglob("events.out.tfevents.*"))
        yield f"{mode}, {done.candidates} candidates, {len(files)} event files:"
        begin = time.perf_counter()
        with served(Path(storage), mode) as url:
            yield f"  server up after {time.perf_counter() - begin:.1f} s"
            for name, selector in _PAGES.items():
                seconds = _until_shown(Page(driver, url), name, selector)
                yield f"  {name} shown {seconds:.1f} s after it was opened"


def _until_shown(page: Page, name: str, selector: str) -> float:
    begin = time.perf_counter()
    page.open(name, regexInput=_SEARCHES)
    page.wait(lambda: page.look(selector, "1"), name)
    return time.perf_counter() - begin


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
    print(f"\n{missing()}" if missing() else "", flush=True)
    for mode in () if missing() else ("summary", "full"):
        for line in opened(mode):
            print(line, flush=True)


if __name__ == "__main__":
    main()
