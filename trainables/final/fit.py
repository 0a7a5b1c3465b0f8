"""A training as a Ray Train run, started again where its workers are lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, cast

import ray
import ray.train
from ray.exceptions import RayError
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from autoshrink_ray.cluster import quiet
from autoshrink_ray.errors import AutoshrinkError, RetriesExhaustedError
from trainables.final.config import TrainConfig
from trainables.final.reports import Reports, TrainObserver
from trainables.final.worker import Job, work

_PAUSE = 0.1
"""Seconds from one look at the news to the next."""

_GRACE = 10.0
"""Seconds in which a training that is stopped has to give its resources back."""

_SETTINGS = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",  # 2 s by default, and the end waits for one
    "RAY_TRAIN_METRICS_ENABLED": "0",
}

_LOGGERS = ("ray.train", "ray.data")

_SCRATCH = "autoshrink-ray-"
"""How folders for Ray's own files are called."""

_ALONE = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
"""A process less where no node can be taken away."""


class _Announcement(ControllerCallback):  # type: ignore[misc]
    """Tells in the controller of Ray Train who it is: with it go the workers that it started."""

    def __init__(self, reports: Any) -> None:
        self._reports = reports

    def after_controller_start(self, train_run_context: Any) -> None:
        handle = ray.get_runtime_context().current_actor
        ray.get(self._reports.controlled_by.remote([handle]))


@dataclass
class _Watch:
    """Passes the workers' news on to the observers, in the driver's own thread.

    Attributes:
        reports: The actor that has them.
        observers: Who hears of them.
        alone: Whether the cluster ends with the training.
        heard: News that were passed on.
    """

    reports: Any
    observers: Sequence[TrainObserver]
    alone: bool
    heard: int = 0

    def look(self) -> None:
        """Passes on what is new."""
        news, _ = ray.get(self.reports.since.remote(self.heard))
        self.heard += len(news)
        for kind, what in news:
            for observer in self.observers:
                (observer.on_epoch if kind == "epoch" else observer.on_note)(what)


def fit(
    config: TrainConfig,
    job: Job,
    data: Any,
    observers: Sequence[TrainObserver],
    ending: Callable[[], AutoshrinkError | None],
    *,
    alone: bool,
) -> None:
    """Trains on Ray until the weights are written.

    Args:
        config: Workers, their resources, and retries.
        job: The training.
        data: What the task's `load` returned.
        observers: Told of epochs.
        ending: What the training has to stop with now, if it has to.
        alone: Whether the cluster was started for this training, on this machine.

    Raises:
        AutoshrinkError: What a worker raised on purpose, as it is.
        RetriesExhaustedError: If workers were lost more often than allowed.
        RunInterruptedError: If a signal was caught; or whatever else `ending` returned.
    """
    run = _Run(config, job, data, ray.put(data), observers, alone)
    lost = 0
    while (error := run.once(ending)) is not None:
        if _only_waits(error):
            run.note(f"waiting for room for {config.workers} workers")
            continue
        lost += 1
        if lost > config.max_retries:
            raise RetriesExhaustedError(
                f"the training was lost {lost} times, the last time by {_reason(error)}; started "
                f"again it goes on from its last checkpoint"
            ) from error
        run.note(
            f"the workers are lost ({_reason(error)}): going on from the last checkpoint, "
            f"retry {lost} of {config.max_retries}",
        )


@dataclass(frozen=True)
class _Run:
    """What is the same in all tries.

    Attributes:
        config: Workers and their resources.
        job: The training.
        data: What the task's `load` returned.
        reference: The same in Ray's object store.
        observers: Who hears of epochs.
        alone: Whether the cluster ends with the training.
    """

    config: TrainConfig
    job: Job
    data: Any
    reference: Any
    observers: Sequence[TrainObserver]
    alone: bool

    def note(self, text: str) -> None:
        for observer in self.observers:
            observer.on_note(text)

    def once(self, ending: Callable[[], AutoshrinkError | None]) -> Exception | None:
        """One try; what the infrastructure did wrong, if it did.

        Raises:
            AutoshrinkError: What a worker raised on purpose, or `ending` returned.
        """
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        reports = ray.remote(num_cpus=0)(Reports).options(scheduling_strategy=here).remote()
        variables = _SETTINGS | (_ALONE if self.alone else {})
        watch = _Watch(reports, self.observers, self.alone)
        try:
            with quiet(_LOGGERS, variables), TemporaryDirectory(prefix=_SCRATCH) as scratch:
                return _outcome(self._trainer(reports, scratch), watch, ending)
        except RayError as error:  # the news are lost, and so are workers that have some
            return cast(Exception, error)
        finally:
            ray.kill(reports)

    def _trainer(self, reports: Any, scratch: str) -> Any:
        config = self.config
        resources: dict[str, float] = {"CPU": config.cpus_per_worker}
        if config.gpus_per_worker:
            resources["GPU"] = config.gpus_per_worker
        return TorchTrainer(
            work,
            train_loop_config={"job": self.job, "data": self.reference, "reports": reports},
            scaling_config=ray.train.ScalingConfig(
                num_workers=config.workers,
                use_gpu=config.gpus_per_worker > 0,
                resources_per_worker=resources,
                placement_strategy="PACK",
            ),
            run_config=ray.train.RunConfig(
                name="autoshrink_ray",
                storage_path=scratch,  # nothing of it is read: our own checkpoints count
                failure_config=ray.train.FailureConfig(max_failures=0, controller_failure_limit=0),
                callbacks=[_Announcement(reports)],
                logging_config=ray.train.LoggingConfig(log_level="ERROR"),
            ),
            datasets=self.data.ray_datasets() if hasattr(self.data, "ray_datasets") else None,
        )


def _outcome(
    trainer: Any, watch: _Watch, ending: Callable[[], AutoshrinkError | None]
) -> Exception | None:
    """Runs Ray Train beside this thread, which passes on the news; see `_Run.once`."""
    with ThreadPoolExecutor(1, thread_name_prefix="ray-train") as pool:
        going = pool.submit(trainer.fit)
        try:
            while not going.done() and ending() is None:
                watch.look()
                time.sleep(_PAUSE)
        finally:
            _stop(watch, going)
    if stopped := ending():
        raise stopped
    watch.look()
    return _fault(going.exception())


def _fault(error: BaseException | None) -> Exception | None:
    """`error`, if the infrastructure made it; raises what a worker raised on purpose."""
    for failure in getattr(error, "worker_failures", {}).values():
        if isinstance(failure, AutoshrinkError):
            raise failure
    if error is None or isinstance(error, ray.train.TrainingFailedError | RayError):
        return error
    raise error


def _stop(watch: _Watch, going: Future[Any]) -> None:
    """Ends the controller, and with it the workers, as soon as it is known which actor it is."""
    with suppress(RayError):
        while not going.done():
            _, controller = ray.get(watch.reports.since.remote(watch.heard))
            if controller is not None:
                if not watch.alone:  # a killed controller may keep the cluster's resources
                    controller.abort.remote()
                    wait([going], _GRACE)
                ray.kill(controller)
                return
            time.sleep(_PAUSE)


def _only_waits(error: Exception) -> bool:
    """Whether nothing was lost: the cluster is busy, or an autoscaler still at work."""
    return isinstance(getattr(error, "controller_failure", None), WorkerGroupStartupTimeoutError)


def _reason(error: Exception) -> str:
    """One line on what was lost."""
    failures = getattr(error, "worker_failures", None)
    cause = next(iter(failures.values())) if failures else error
    cause = getattr(cause, "health_check_failure", cause)
    cause = getattr(cause, "controller_failure", cause)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__
