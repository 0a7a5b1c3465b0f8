"""Kills, resumes and damages real searches, and compares them with one that nothing happened to.

Every run is the same small search on Ray. It is hit at random moments until it is finished:
SIGKILL, SIGINT and SIGTERM to the driver, SIGKILL to workers, damage to ledger objects between
two starts. What it announces must stay in its ledger, and its decisions must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import yaml

from autoshrink_ray import Run
from autoshrink_ray.errors import AutoshrinkError
from autoshrink_ray.runfile import RunFile
from autoshrink_ray.storage import Folder
from tests.bench.drivers import Driver, Place

_WORKERS = 2

_SEARCH: dict[str, Any] = {
    "space": "counted",
    "plugins": ["tests.plugins.counted"],
    "nodes": 6,
    "candidates": 5,
    "searches": 3,
    "max_concurrent": _WORKERS,
    "name": "run",
}
"""About a hundred evaluations in some thirty rounds."""

_SECONDS = 0.1
"""What a training takes: long enough to be hit, and to have others in flight beside it."""

_ENDINGS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass
class Tally:
    """What was done, and what came of it.

    Attributes:
        faults: Faults by kind.
        runs: Runs that were brought to their end.
        evaluations: Evaluations of all of them.
        missing: Evaluations that were announced and were not in the ledger afterwards.
        lost: These, by name.
        twice: Trainings that were started again.
        allowed: How many could be, at most.
        differing: Runs whose decisions are not those of the undisturbed one.
        unnoticed: Damaged objects that the next driver did not name.
        surprises: Exit codes that no fault explains, with the driver's message.
    """

    faults: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    evaluations: int = 0
    missing: int = 0
    lost: list[str] = field(default_factory=list)
    twice: int = 0
    allowed: int = 0
    differing: int = 0
    unnoticed: int = 0
    surprises: list[str] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        """Whether anything is not as it has to be."""
        wrong = self.missing + self.differing + self.unnoticed + len(self.surprises)
        return wrong > 0 or self.twice > self.allowed


class Campaign:
    """One run, from its first start until it is finished.

    Args:
        place: A folder of its own.
        scratch: Folder for Ray's sessions.
        tally: Where everything is counted.
        rng: Chooses faults and moments.
    """

    def __init__(self, place: Path, scratch: Path, tally: Tally, rng: Random) -> None:
        place.mkdir()
        self.folder = place / "runs" / "run"
        self._trainings = place / "trainings"
        self._config = place / "config.yaml"
        proxy = {"seconds": _SECONDS, "folder": str(place)}
        self._config.write_text(
            yaml.safe_dump(_SEARCH | {"proxy": proxy, "storage": str(place / "runs")})
        )
        self._scratch, self._tally, self._rng = scratch, tally, rng
        self._owed: set[Place] = set()
        self._damaged = ""

    def undisturbed(self) -> None:
        """Runs to the end."""
        self._end(Driver(self._config, self._scratch), expected=())

    def hit(self, seconds: float, until: float) -> None:
        """Starts, hits and resumes the run until it is finished.

        Args:
            seconds: What a start takes that is not hit.
            until: Time of the monotonic clock after which it is left alone.
        """
        while not self._finished():
            driver = Driver(self._config, self._scratch)
            try:
                if time.monotonic() < until:
                    self._hit_once(driver, seconds)
                else:
                    self._end(driver, expected=())
            finally:
                driver.kill()
            if driver.announced and not self._finished() and self._rng.random() < 0.3:
                self._damage()
        self._count_trainings()

    def _hit_once(self, driver: Driver, seconds: float) -> None:
        if self._rng.random() < 0.25:
            for _ in range(self._rng.randint(1, 2)):
                self._kill_a_worker(driver)
        self._wait_for_a_moment(driver, seconds)
        if not driver.running:
            self._end(driver, expected=())
            return
        kind = self._rng.choices(["kill", *_ENDINGS], [10, 1, 1])[0]
        self._tally.allowed += _WORKERS
        if isinstance(kind, signal.Signals):
            self._tally.faults[f"driver, {kind.name}"] += 1
            began, at_work = driver.began, bool(driver.announced)
            driver.signal(kind)
            # While it starts nobody hears it, or Ray does, which aborts.
            early = () if at_work else (-kind, 128 + kind, -signal.SIGABRT)
            self._end(driver, expected=(_ENDINGS[kind], *early), heard=began and at_work)
        else:
            self._tally.faults["driver, SIGKILL"] += 1
            driver.kill()
            self._end(driver, expected=(-signal.SIGKILL,))

    def _wait_for_a_moment(self, driver: Driver, seconds: float) -> None:
        """Any time from its start on, or shortly after any of its next evaluations."""
        if self._rng.random() < 0.4:
            moment = time.monotonic() + self._rng.uniform(0, seconds)
        else:
            count = len(driver.announced) + self._rng.randint(1, 15)
            driver.wait_until(lambda: len(driver.announced) >= count)
            moment = time.monotonic() + self._rng.uniform(0, 2 * _SECONDS)
        driver.wait_until(lambda: time.monotonic() >= moment)

    def _kill_a_worker(self, driver: Driver) -> None:
        count = len(driver.announced) + self._rng.randint(1, 6)
        driver.wait_until(lambda: len(driver.announced) >= count)
        workers = driver.workers()
        if driver.running and workers:
            self._rng.choice(workers).kill()
            self._tally.faults["worker, SIGKILL"] += 1
            self._tally.allowed += 1

    def _end(self, driver: Driver, expected: tuple[int, ...], *, heard: bool = False) -> None:
        """Looks at what a driver left, once it has ended."""
        code = driver.end()
        self._owed |= set(driver.announced)
        if driver.babble:
            self._tally.surprises.append(f"exit code {code}, no event: {driver.babble!r}")
        if self._refused(code, driver):
            return
        if code not in (0, *expected) and not self._finished():  # at the very end it is too late
            self._tally.surprises.append(f"exit code {code}: {driver.errors[-1000:].strip()}")
        if self._damaged and driver.began and not any(self._damaged in n for n in driver.notices):
            self._tally.unnoticed += 1
        if driver.began:
            self._damaged = ""
        if self.folder.exists():
            self._look_for_missing()
        if heard and code and not self._finished():
            end = Run(str(self.folder)).last_end
            if end != "interrupted":
                self._tally.surprises.append(f"exit code {code}, and the ledger says {end!r}")

    def _look_for_missing(self) -> None:
        if not RunFile.exists(Folder(str(self.folder))):
            return  # killed before it had written its first file
        missing = self._owed - Run(str(self.folder)).ledger.evaluations.keys()
        self._tally.missing += len(missing)
        self._tally.lost += [f"{self.folder}: {place}" for place in sorted(missing)]
        self._owed -= missing

    def _refused(self, code: int, driver: Driver) -> bool:
        """Whether it refused to start for the damaged object; then what the message says is done.

        That is right for decisions, and for an object that a bit makes look like a newer version's.
        """
        said = re.search(r"ledger object (\S+) .*(delete it|schema version)", driver.errors)
        if code != 2 or not said or said[1] != self._damaged:
            return False
        (self.folder / said[1]).unlink()
        self._tally.faults["  of these, refused with the remedy"] += 1
        self._damaged = ""
        return True

    def _damage(self) -> None:
        """Cuts or flips a random object."""
        objects = sorted((self.folder / "ledger").rglob("*.json"))
        if self._damaged or not objects:
            return
        path = self._rng.choice(objects)
        content = path.read_bytes()
        if self._rng.random() < 0.7:
            path.write_bytes(content[: self._rng.randrange(len(content))])
            self._tally.faults["ledger object cut"] += 1
        else:
            place = self._rng.randrange(len(content))
            flipped = bytes([content[place] ^ (1 << self._rng.randrange(8))])
            path.write_bytes(content[:place] + flipped + content[place + 1 :])
            self._tally.faults["ledger object, a bit flipped"] += 1
        self._damaged = str(path.relative_to(self.folder))
        evaluation = re.search(r"search-(\d+)/.*round-(\d+)-candidate-(\d+)", self._damaged)
        if evaluation:  # owed again once it is evaluated and announced again
            self._owed.discard((int(evaluation[1]), int(evaluation[2]), int(evaluation[3])))
            self._tally.allowed += 1

    def _finished(self) -> bool:
        try:
            run = Run(str(self.folder))
            return run.last_end == "finished" and run.status == "finished" and not self._damaged
        except AutoshrinkError:
            return False

    def _count_trainings(self) -> None:
        self._tally.twice += self.repeated()
        self._tally.evaluations += len(Run(str(self.folder)).ledger.evaluations)
        self._tally.runs += 1

    def repeated(self) -> int:
        """Trainings that were started although they had been started before."""
        lines = self._trainings.read_text().splitlines()
        return len(lines) - len(set(lines))

    def decisions(self) -> str:
        """The decision log."""
        found = Run(str(self.folder)).ledger.decisions.values()
        return json.dumps([decision.model_dump(mode="json") for decision in found])


def stress(minutes: float, seed: int, scratch: Path) -> Tally:
    """Hits runs until the time is up; the last one is brought to its end."""
    tally, rng = Tally(), Random(seed)
    until = time.monotonic() + 60 * minutes
    begin = time.monotonic()
    reference = Campaign(scratch / "undisturbed", scratch, tally, rng)
    reference.undisturbed()
    seconds = time.monotonic() - begin
    if reference.repeated() or tally.broken:
        raise RuntimeError(f"the undisturbed run is not as it should be: {tally}")
    expected = reference.decisions()
    print(f"undisturbed: {seconds:.0f} s", file=sys.stderr, flush=True)
    while time.monotonic() < until:
        campaign = Campaign(scratch / f"run-{tally.runs}", scratch, tally, rng)
        campaign.hit(seconds, until)
        tally.differing += campaign.decisions() != expected
        print(f"run {tally.runs}: {dict(tally.faults)}", file=sys.stderr, flush=True)
    return tally


def report(tally: Tally, minutes: float) -> str:
    """The table."""
    rows = [(name, str(tally.faults[name])) for name in sorted(tally.faults, key=_order)]
    rows += [
        ("runs brought to their end, evaluations", f"{tally.runs}, {tally.evaluations}"),
        ("evaluations announced and missing afterwards (0)", str(tally.missing)),
        (f"trainings started again (at most {tally.allowed})", str(tally.twice)),
        ("decision logs that differ (0)", str(tally.differing)),
        ("damaged objects that nobody named (0)", str(tally.unnoticed)),
        ("exit codes that nothing explains (0)", str(len(tally.surprises))),
    ]
    head = (
        f"{minutes:g} minutes, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{_WORKERS} trainings at once"
    )
    return "\n".join([head, *(f"{name:<52}{value:>12}" for name, value in rows)])


_ORDER = ("driver", "worker", "ledger", "  of")


def _order(name: str) -> tuple[int, str]:
    return next(n for n, start in enumerate(_ORDER) if name.startswith(start)), name


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/stress", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=10, help="time for it (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of faults and moments (default 0)")
    given = parser.parse_args()
    if given.minutes <= 0:
        parser.error(f"--minutes is more than 0, got {given.minutes:g}")
    with tempfile.TemporaryDirectory(prefix="stress-", ignore_cleanup_errors=True) as scratch:
        tally = stress(given.minutes, given.seed, Path(scratch))
    print(report(tally, given.minutes))
    for wrong in (*tally.lost, *tally.surprises):
        print(wrong)
    sys.exit(tally.broken)


if __name__ == "__main__":
    main()
