"""Full training on Ray Train: starting one, or going on with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from autoshrink_ray.autoscaler import could_start, may_grow
from autoshrink_ray.cluster import (
    Resources,
    autoscalable_resources,
    connection,
    node_resources,
    quiet,
    slots,
    startable_slots,
)
from autoshrink_ray.config import merge
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.errors import (
    AutoshrinkError,
    ConfigError,
    RunError,
    RunInterruptedError,
    StorageError,
    UsageError,
    told,
)
from autoshrink_ray.files import LEASE, TRAIN, digest
from autoshrink_ray.lease import Hold, ending, held
from autoshrink_ray.ledger import End
from autoshrink_ray.preflight import Needs, needed_modules, require_nodes
from autoshrink_ray.run import fresh_name, require_free, require_same
from autoshrink_ray.runfile import versions
from autoshrink_ray.signals import interruptible
from autoshrink_ray.storage import Folder, is_temporary, join
from search_spaces.network import NetworkFile
from trainables.final.config import TrainConfig, TrainPlan
from trainables.final.events import TensorBoardObserver
from trainables.final.fit import fit
from trainables.final.folder import (
    NETWORK,
    WEIGHTS,
    TrainFile,
    TrainingRun,
    write_history,
)
from trainables.final.reports import TrainObserver
from trainables.final.worker import Job


def train(
    network: NetworkFile,
    config: TrainConfig | None = None,
    *,
    observers: Sequence[TrainObserver] = (),
    **changes: Any,
) -> TrainingRun:
    """Trains a network to its end, or goes on with the training of that name.

    Args:
        network: What to train.
        config: How; None for the defaults.
        observers: Told of everything that is finished.
        **changes: Fields of `TrainConfig` that override `config`; `settings` are merged.

    Returns:
        The finished training.

    Raises:
        UsageError: If the configuration, the data or the storage is wrong, the cluster is too
            small, or the name belongs to a training with another identity.
        RunError: If the training failed; its checkpoints are kept.
        RunHeldError: If another driver is at work on the training.
        RunInterruptedError: On SIGINT or SIGTERM; the training can go on.
    """
    settings = merge((config or TrainConfig()).model_dump(exclude_unset=True), changes)
    plan = TrainPlan.of(network, TrainConfig.of(settings))
    data = plan.load_data()
    plan.task.require_trainable(data, plan.recipe)
    Folder(plan.config.storage).check_writable()
    name = plan.config.name or fresh_name(network.space)
    folder = Folder(join(plan.config.storage, name))
    identity = plan.identity(data.fingerprint)
    if _is_finished(folder, name, identity):
        return TrainingRun(folder.location)
    with interruptible() as caught, connection(plan.config.address) as own:
        require_workers(plan.config)
        if _is_streamed(data):
            require_reader(plan.config)
        if not own:
            require_nodes(needs(plan, data), partial(_note, observers))
        with held(folder, partial(_note, observers), caught) as hold:
            if not _is_finished(folder, name, identity):  # another driver may have been first
                drive = _Drive(plan, data, observers, hold, caught, own)
                _start(folder, name, identity, drive)
    return TrainingRun(folder.location)


def _start(
    folder: Folder,
    name: str,
    identity: dict[str, Any],
    drive: _Drive,
) -> None:
    is_new = not TrainFile.exists(folder)
    file = _opened(folder, name, drive.plan, identity, drive.data)
    try:
        drive.run(folder, _job(folder, file, drive.plan))
    except UsageError:
        if is_new:  # nothing is left of a mistake that only a worker could notice
            folder.delete()
        raise


def _note(observers: Sequence[TrainObserver], text: str) -> None:
    for observer in observers:
        observer.on_note(text)


def require_workers(config: TrainConfig) -> None:
    """Checks that the cluster has room for all workers, or could have.

    Raises:
        ConfigError: If not: the training would wait for ever.
    """
    worker = Resources(config.cpus_per_worker, config.gpus_per_worker)
    room = slots(worker)
    if config.workers <= room:
        return
    startable = startable_slots(worker)
    if config.workers <= room + startable:
        return
    if could_start(worker.bundle(), config.workers) not in ("could not", "no autoscaler"):
        return
    more = "" if math.isinf(startable) or not startable else f" and could start {startable:g} more"
    raise ConfigError(
        f"the training asks for {config.workers} workers of {worker} each, and the cluster has "
        f"room for {room}{more}; lower --workers, --cpus-per-worker or --gpus-per-worker"
    )


def needs(plan: TrainPlan, data: ProxyData) -> Needs:
    """What a training asks of the nodes; its workers may read images, and write checkpoints."""
    config = plan.config
    return Needs(
        trial=Resources(config.cpus_per_worker, config.gpus_per_worker),
        storages=(config.storage,),
        modules=needed_modules(config.plugins),
        files=tuple(getattr(data, "files_of_workers", tuple)()),
    )


def require_reader(config: TrainConfig) -> None:
    """Checks that a CPU is left for Ray Data, which reads what is streamed.

    Raises:
        ConfigError: If not: the workers would wait for ever.
    """
    taken = config.workers * config.cpus_per_worker
    cpus = sum(node.get("CPU", 0) for node in node_resources())
    if cpus < taken + 1 and not (autoscalable_resources() or may_grow()):
        raise ConfigError(
            f"data that are streamed are read by processes of their own, so the training asks for "
            f"{taken + 1} CPUs, and the cluster has {cpus:g}: lower --workers or --cpus-per-worker"
        )


def _is_streamed(data: ProxyData) -> bool:
    with quiet(("ray.data",), {}):
        return bool(getattr(data, "ray_datasets", dict)())


def _is_finished(folder: Folder, name: str, identity: dict[str, Any]) -> bool:
    """Whether there is nothing to do; refuses a name that belongs to something else."""
    if not TrainFile.exists(folder):
        require_free(name, folder, ours={NETWORK, LEASE})
        return False
    file = TrainFile.read(folder)
    require_same(name, file.identity, identity)
    finished = file.end is not None and file.end.status == "finished"
    return finished and folder.exists(WEIGHTS)


def _opened(
    folder: Folder, name: str, plan: TrainPlan, identity: dict[str, Any], data: ProxyData
) -> TrainFile:
    """The training's file in storage, as one that goes on."""
    if TrainFile.exists(folder):
        file = TrainFile.read(folder).model_copy(update={"end": None})
        for left in filter(is_temporary, folder.files()):
            folder.remove(left)
    else:
        folder.write(NETWORK, plan.network.to_json())
        file = TrainFile(
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            identity=identity,
            config=plan.config.model_dump(mode="json"),
            quality=plan.task.quality,
            data_summary=data.summary,
            versions=versions(),
        )
    file.write(folder)
    return file


def _job(folder: Folder, file: TrainFile, plan: TrainPlan) -> Job:
    config = plan.config
    return Job(
        folder=folder.location,
        sha256=digest(folder.read(TRAIN)),
        network=plan.network.to_json(),
        recipe=config.settings,
        rules=plan.rules,
        seed=config.seed,
        threads=config.cpus_per_worker,
        gpu=config.gpus_per_worker > 0,
        loader_workers=config.loader_workers,
        plugins=config.plugins,
        provenance={
            "training": file.name,
            "created": file.created,
            "recipe": file.identity["recipe"],
            "seed": config.seed,
            "workers": config.workers,
            "data": file.config["data"],
            "data_fingerprint": file.identity["data_fingerprint"],
            "versions": file.versions,
            "network": plan.network.provenance,
        },
    )


@dataclass(frozen=True)
class _Drive:
    """One start of a training's driver.

    Attributes:
        plan: What is trained, and how.
        data: What the task's `load` returned.
        observers: Told of everything that is finished.
        hold: The lease on the training.
        caught: Signals that want it to stop.
        alone: Whether the cluster was started for it.
    """

    plan: TrainPlan
    data: ProxyData
    observers: Sequence[TrainObserver]
    hold: Hold
    caught: Sequence[int]
    alone: bool

    def run(self, folder: Folder, job: Job) -> None:
        """Trains, and leaves a readable folder behind however it ends."""
        try:
            self._fit(folder, job)
            _finish(folder)
        except RunInterruptedError as error:
            self._leave(folder, End(status="interrupted", message=str(error)))
            raise
        except Exception as error:
            self._leave(folder, End(status="failed", message=told(error)))
            raise

    def _fit(self, folder: Folder, job: Job) -> None:
        observers = [TensorBoardObserver(folder), *self.observers]
        for observer in observers:
            observer.on_start(TrainingRun(folder.location), self.data)
        stop = partial(ending, self.caught, self.hold)
        fit(self.plan.config, job, self.data, observers, stop, alone=self.alone)

    def _leave(self, folder: Folder, end: End) -> None:
        """As far as the storage still allows; what stopped the training matters more than this."""
        with suppress(AutoshrinkError):
            if not self.hold.is_lost_now():
                _end(folder, end)


def _finish(folder: Folder) -> None:
    try:
        write_history(folder, TrainingRun(folder.location).checkpoints.history())
        _end(folder, End(status="finished"))
    except StorageError as error:
        raise RunError(f"the training is finished but not its folder: {error}") from error


def _end(folder: Folder, end: End) -> None:
    TrainFile.read(folder).model_copy(update={"end": end}).write(folder)
