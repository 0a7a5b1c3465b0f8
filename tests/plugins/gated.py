"""The table space with trainings that say where they run and wait until they are let go.

In `folder` each training leaves a file `begun-...` with its node, GPUs and process, and waits for a
file `go-...` of the same name, or for `open`.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

import ray

from autoshrink_ray import DataRequest, Measurement, Topology, register_space
from tests.plugins.table import Nothing, Proxy, TableEvaluator, TableSpace, TableTask


class GatedEvaluator:
    def __init__(self, evaluator: TableEvaluator, folder: str) -> None:
        self._evaluator = evaluator
        self._folder = Path(folder)

    def evaluate(self, topology: Topology, seed: int) -> Measurement:
        name = secrets.token_hex(6)
        context = ray.get_runtime_context()
        place = {
            "node": context.get_node_id(),
            "gpus": ray.get_gpu_ids(),
            "pid": os.getpid(),
        }
        draft = self._folder / f"draft-{name}"
        draft.write_text(json.dumps(place))
        draft.rename(self._folder / f"begun-{name}")
        while not (self._folder / f"go-{name}").exists() and not (self._folder / "open").exists():
            time.sleep(0.05)
        return self._evaluator.evaluate(topology, seed)


class Bulky(Nothing):
    """Data that are too large to travel with a call: a worker's node gets a copy of them."""

    def __init__(self) -> None:
        self.payload = bytes(2**20)


class GatedTask(TableTask):
    def load(self, request: DataRequest, space: Any, macro: Any, proxy: Proxy) -> Bulky:
        return Bulky()

    def evaluator(
        self, space: Any, macro: Any, proxy: Proxy, data: Any, *, threads: int, gpu: bool
    ) -> Any:
        return GatedEvaluator(TableEvaluator(space, proxy), proxy.folder)


class GatedSpace(TableSpace):
    name = "gated"
    task = "tests.plugins.gated:TASK"


SPACE = GatedSpace()
TASK = GatedTask()
register_space("gated", "tests.plugins.gated:SPACE")


class Gate:
    """The other side: what a test sees of the trainings, and how it lets them go."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def begun(self) -> dict[str, dict[str, Any]]:
        """Place of each training that has begun and was not let go, by name."""
        found = {path.name.partition("-")[2]: path for path in self.folder.glob("begun-*")}
        waiting = {n: p for n, p in found.items() if not (self.folder / f"go-{n}").exists()}
        return {name: json.loads(path.read_text()) for name, path in waiting.items()}

    def wait_for(self, number: int, alive: Any, patience: float = 120) -> dict[str, dict[str, Any]]:
        """Waits until so many are held at once, while `alive()` says that more may come."""
        deadline = time.monotonic() + patience
        while len(found := self.begun()) < number:
            assert alive(), "the search ended"
            assert time.monotonic() < deadline, f"{len(found)} of {number} trainings have begun"
            time.sleep(0.1)
        return found

    def let_go(self, names: Any) -> None:
        for name in list(names):
            (self.folder / f"go-{name}").touch()

    def open(self) -> None:
        """Lets all go, also those that are to come."""
        (self.folder / "open").touch()
