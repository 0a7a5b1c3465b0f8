"""A driver of its own that joins a cluster once and tries everything there is to refuse.

    python -m tests.ray.preflighting ADDRESS SHARED ELSEWHERE

ELSEWHERE is a folder that one node has another disk mounted over. Prints what became of each
attempt as JSON: the error's name and text, or the notes of a check that passed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray

from autoshrink_ray import SearchConfig, run_search
from autoshrink_ray.cluster import Resources, connection
from autoshrink_ray.errors import AutoshrinkError
from autoshrink_ray.preflight import Needs, require_nodes

BIG = 2
"""CPUs of the node with the other disk; the other nodes have one."""

TABLE = {
    "space": "table",
    "plugins": ["tests.plugins.table"],
    "nodes": 3,
    "candidates": 2,
    "tensorboard": "off",
}


def became(action: Callable[[Callable[[str], None]], Any]) -> dict[str, Any]:
    notes: list[str] = []
    started = time.perf_counter()
    try:
        action(notes.append)
    except AutoshrinkError as error:
        return {"error": type(error).__name__, "text": str(error)}
    return {"notes": notes, "seconds": time.perf_counter() - started}


def search(storage: Path, **changes: Any) -> Callable[[Any], Any]:
    config = SearchConfig.of({**TABLE, "name": "run", "storage": str(storage), **changes})
    return lambda note: run_search(config)


def needing(trial: Resources, **needs: Any) -> Callable[[Any], Any]:
    return lambda note: require_nodes(Needs(trial, **needs), note)


def main(address: str, shared: Path, elsewhere: Path) -> None:
    one, big, gpu = Resources(1, 0), Resources(BIG, 0), Resources(1, 1)
    with connection(address):
        tried = {
            "a shared path": became(search(shared)),
            "another disk": became(search(elsewhere / "runs")),
            "another disk for no trial": became(
                needing(Resources(BIG + 1, 0), storages=(str(elsewhere),))
            ),
            "a module of one disk": became(needing(one, modules=("autoshrink_ray", "only_here"))),
            "data of one disk": became(needing(big, files=((str(elsewhere), "only_here.py"),))),
            "shared data": became(needing(big, files=((str(shared), "data"),))),
            "no such node yet": became(needing(gpu, storages=(str(elsewhere),))),
            "again": became(needing(one, storages=(str(shared),))),
        }
        nodes = {n["NodeID"][:8]: n["Resources"].get("CPU", 0) for n in ray.nodes() if n["Alive"]}
    print(json.dumps({"tried": tried, "nodes": nodes}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
