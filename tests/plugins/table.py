"""A search space whose trainings are looked up: real trials, no torch, faults on demand.

Registered by `--plugin tests.plugins.table` as space `table` and data set `nothing`. Quality is a
hash of the topology's key, so every driver must come to the same decisions.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

from autoshrink_ray import (
    DataRequest,
    Measurement,
    Settings,
    Topology,
    register_dataset,
    register_space,
)
from autoshrink_ray.seeds import derive_seed


class Macro(Settings):
    """Nothing to set."""


class Proxy(Settings):
    """Faults are named by topology key, and happen once: a file in `folder` remembers them."""

    seconds: float = 0.0
    folder: str = ""
    dies: tuple[str, ...] = ()
    raises: tuple[str, ...] = ()
    diverges: tuple[str, ...] = ()
    fills_memory: tuple[str, ...] = ()
    hangs: tuple[str, ...] = ()


class Nothing:
    """Data of no size."""

    fingerprint = "0" * 64
    summary = "nothing"


class TableSpace:
    name = "table"
    task = "tests.plugins.table:TASK"
    nodes = 4
    keep_fraction = 0.2
    data = "nothing"
    Macro = Macro

    def initial(self, nodes: int, seed: int) -> Topology:
        ops = tuple("ab"[derive_seed(seed, node) % 2] for node in range(nodes))
        return Topology.complete(ops)

    def check(self, topology: Topology) -> None:
        """Every operation is known."""

    def build(self, topology: Topology, macro: Any, shape: Any) -> Any:
        raise AssertionError("the table needs no network")

    def cost(self, topology: Topology, macro: Any, shape: Any) -> dict[str, int]:
        return {"macs": 1000 * len(topology.edges), "params": 10 * len(topology.edges)}


class TableEvaluator:
    def __init__(self, space: TableSpace, proxy: Proxy) -> None:
        self._space = space
        self._proxy = proxy

    def evaluate(self, topology: Topology, seed: int) -> Measurement:
        time.sleep(self._proxy.seconds)
        self._note(f"pid-{os.getpid()}")
        key = topology.key
        if key in self._proxy.dies and self._first(f"died-{derive_seed(key)}"):
            os.kill(os.getpid(), signal.SIGKILL)
        if key in self._proxy.hangs and self._first(f"hung-{derive_seed(key)}"):
            ctypes.PyDLL(None).sleep(1000)  # native code that never lets go of the interpreter
        if key in self._proxy.raises:
            raise RuntimeError(f"no luck with {key}")
        if key in self._proxy.diverges:
            return Measurement(
                status="failed", reason="diverged in epoch 1", device="cpu", build="table"
            )
        if key in self._proxy.fills_memory and self._first(f"full-{derive_seed(key)}"):
            return Measurement(
                status="out_of_memory", reason="out of memory", device="cpu", build="table"
            )
        accuracy = derive_seed(seed, key) % 1000 / 1000
        cost = self._space.cost(topology, None, None)
        return Measurement(
            status="complete",
            metrics={"accuracy": accuracy} | cost,
            curve=(accuracy,),
            epochs=1,
            stop_reason="epochs",
            seconds=self._proxy.seconds,
            device="cpu",
            build="table",
        )

    def _note(self, name: str) -> None:
        if self._proxy.folder:
            Path(self._proxy.folder, name).touch()

    def _first(self, name: str) -> bool:
        path = Path(self._proxy.folder, name)
        known = path.exists()
        path.touch()
        return not known


class TableTask:
    objective = "accuracy"
    Proxy = Proxy

    def machine(self, *, gpu: bool) -> tuple[str, str] | None:
        return ("cpu", "table")

    def load(self, request: DataRequest, space: Any, macro: Any, proxy: Proxy) -> Nothing:
        return nothing(request)

    def evaluator(
        self, space: Any, macro: Any, proxy: Proxy, data: Any, *, threads: int, gpu: bool
    ) -> TableEvaluator:
        return TableEvaluator(space, proxy)


def nothing(request: DataRequest) -> Nothing:
    return Nothing()


SPACE = TableSpace()
TASK = TableTask()
register_space("table", "tests.plugins.table:SPACE")
register_dataset("nothing", "tests.plugins.table:nothing")
