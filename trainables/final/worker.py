"""What runs in each process of a training on Ray Train."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ray
import ray.train
import ray.train.torch

from autoshrink_ray import plugins
from autoshrink_ray.errors import ConfigError, RunError, StorageError
from autoshrink_ray.files import TRAIN, digest
from autoshrink_ray.storage import Folder
from search_spaces.network import NetworkFile
from trainables.device import Compute
from trainables.final.checkpoints import Checkpoints, EpochRecord
from trainables.final.contracts import FullTask, Setup, Training, World
from trainables.final.folder import CHECKPOINTS, WEIGHTS
from trainables.final.loop import Released, Rules, TrainingLoop
from trainables.final.tasks import full_task
from trainables.final.weights import WeightsCard, write_weights


@dataclass(frozen=True)
class Job:
    """A training as it travels to the workers.

    Attributes:
        folder: Absolute location of the training's folder.
        sha256: Digest of its `train.yaml`, by which a worker knows that it sees the same folder.
        network: Content of the network file.
        recipe: Settings of the recipe.
        rules: How the training is brought to its end.
        seed: See `Setup`.
        threads: CPU threads of each worker.
        gpu: Whether each has a GPU.
        loader_workers: See `Setup`.
        plugins: Modules that register own spaces.
        provenance: Where the weights come from, but for their epoch.
    """

    folder: str
    sha256: str
    network: bytes
    recipe: dict[str, Any]
    rules: Rules
    seed: int
    threads: int
    gpu: bool
    loader_workers: int
    plugins: tuple[str, ...]
    provenance: dict[str, Any]


class _Reporter:
    """A `Listener` that tells the driver."""

    def __init__(self, reports: Any) -> None:
        self._reports = reports

    def epoch(self, record: EpochRecord) -> None:
        ray.get(self._reports.add.remote("epoch", record))

    def note(self, text: str) -> None:
        ray.get(self._reports.add.remote("note", text))


def work(config: dict[str, Any]) -> None:
    """Trains to the end, in each worker; the one of rank 0 writes.

    Args:
        config: `job`; `data`, a reference to what the task's `load` returned; `reports`, the
            actor that takes news.

    Raises:
        ConfigError: If the worker does not see the training's folder.
        RunError: If the training fails, or its storage does.
    """
    job: Job = config["job"]
    folder = Folder(job.folder)
    _require_seen(folder, job.sha256)
    reporter = _Reporter(config["reports"])
    setup, task = _setup(job, ray.get(config["data"]), reporter.note)
    checkpoints = Checkpoints(folder.child(CHECKPOINTS), task.quality, reporter.note)
    if setup.world.rank == 0:
        _tidy(checkpoints)

    def begin() -> Training:
        return task.training(setup)

    loop = TrainingLoop(
        begin, checkpoints, job.rules, reporter, setup.world, device=setup.compute.device
    )
    released = loop.run()
    if setup.world.rank == 0:
        _release(folder, released, task.inputs(setup.recipe, setup.data), job, setup)


def _tidy(checkpoints: Checkpoints) -> None:
    try:
        checkpoints.tidy()
    except StorageError as error:
        raise RunError(f"cannot read the checkpoints: {error}") from error


def _setup(job: Job, data: Any, note: Callable[[str], None]) -> tuple[Setup, FullTask]:
    for module in job.plugins:
        plugins.load_plugin(module)
    network = NetworkFile.from_json(job.network, "the network")
    task = full_task(network.task)
    recipe = task.Recipe.model_validate(job.recipe)
    compute = Compute.available(
        threads=job.threads, gpu=job.gpu, deterministic=recipe.deterministic
    )
    if job.gpu:
        compute = replace(compute, device=ray.train.torch.get_device())
    context = ray.train.get_context()
    world = World(context.get_world_rank(), context.get_world_size())
    made_from = Setup(network, recipe, data, compute, world, job.seed, job.loader_workers, note)
    return made_from, task


def _require_seen(folder: Folder, sha256: str) -> None:
    """Checks that the folder is the one that the driver has written to."""
    try:
        seen = folder.exists(TRAIN) and digest(folder.read(TRAIN)) == sha256
    except StorageError as error:
        raise ConfigError(
            f"the worker on {socket.gethostname()} cannot read {folder.location}: {error}"
        ) from error
    if not seen:
        raise ConfigError(
            f"workers write to the storage, and {folder.location} on {socket.gethostname()} is not "
            f"the driver's: give --storage a place that all nodes share, such as s3://bucket/runs"
        )


def _release(
    folder: Folder, released: Released, inputs: dict[str, Any], job: Job, setup: Setup
) -> None:
    record = released.record
    where = {"epoch": int(record["epoch"]), "device": setup.compute.name}
    card = WeightsCard(
        network=setup.network.sha256,
        inputs=inputs,
        metrics={name: float(value) for name, value in record.items() if name not in _PLACE},
        provenance=job.provenance | where,
    )
    try:
        write_weights(folder, WEIGHTS, released.weights, card)
    except StorageError as error:
        raise RunError(f"the weights are not written, checkpoints are kept: {error}") from error


_PLACE = ("epoch", "attempt", "seconds")
"""What a record says beside the metrics of its epoch."""
