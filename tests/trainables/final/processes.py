"""Real processes that train one network together."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from trainables.final.contracts import World

Work = Callable[[World, Path], None]


def in_processes(work: Work, folder: Path, number: int = 2) -> None:
    """Runs `work(world, folder)`, a function of a module, in processes that can talk."""
    torch.multiprocessing.spawn(_one, (work, folder, number), nprocs=number)


def seen_by_both(folder: Path) -> Any:
    """What two processes wrote into `0.json` and `1.json`, which has to be the same."""
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    return first


def _one(rank: int, work: Work, folder: Path, number: int) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=number)
    work(World(rank, number), folder)
    dist.barrier()
    # Not by the usual way out: Gloo's threads abort a process that ends while they still run.
    os._exit(0)
