"""The table space with every training counted: a line in `folder`/trainings when it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from autoshrink_ray import Measurement, Topology, register_space
from tests.plugins.table import Proxy, TableEvaluator, TableSpace, TableTask

TRAININGS = "trainings"


class CountedEvaluator:
    def __init__(self, evaluator: TableEvaluator, folder: str) -> None:
        self._evaluator = evaluator
        self._path = Path(folder, TRAININGS)

    def evaluate(self, topology: Topology, seed: int) -> Measurement:
        line = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(line, f"{seed} {topology.key}\n".encode())
        os.close(line)
        return self._evaluator.evaluate(topology, seed)


class CountedTask(TableTask):
    def evaluator(
        self, space: Any, macro: Any, proxy: Proxy, data: Any, *, threads: int, gpu: bool
    ) -> Any:
        return CountedEvaluator(TableEvaluator(space, proxy), proxy.folder)


class CountedSpace(TableSpace):
    name = "counted"
    task = "tests.plugins.counted:TASK"


SPACE = CountedSpace()
TASK = CountedTask()
register_space("counted", "tests.plugins.counted:SPACE")
