"""A study's trials as one Ray Tune experiment."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune import Stopper

from autoshrink_ray.cluster import Resources, slots
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.executors.tune import quiet_tune
from autoshrink_ray.scheduler import RunStopper
from trainables.tuning.config import TuningConfig
from trainables.tuning.plan import TuningPlan
from trainables.tuning.scheduling import AllTheWay, EarlyStopping
from trainables.tuning.search import StudySearch
from trainables.tuning.trainable import VariantTrainable


def work_off(
    plan: TuningPlan,
    data: ProxyData,
    search: StudySearch,
    scheduler: AllTheWay | EarlyStopping,
    left: int,
    stop_requested: Callable[[], bool],
) -> None:
    """Runs trials until enough have ended, the study fails or somebody asks to stop.

    Args:
        plan: What the study does.
        data: What the task's `load` returned.
        search: Says what is tried next.
        scheduler: Says which trial goes on.
        left: Trials that have to end yet.
        stop_requested: Tells whether to stop before the end.
    """
    at_once = concurrency(plan.config, left)
    scheduler.search = search
    with quiet_tune(at_once), tempfile.TemporaryDirectory(prefix="autoshrink-ray-") as scratch:
        tune.Tuner(
            _trainable(plan.config, data),
            tune_config=tune.TuneConfig(
                search_alg=search,
                scheduler=scheduler,
                num_samples=-1,
                max_concurrent_trials=at_once,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=_run_config(scratch, RunStopper(search, stop_requested)),
        ).fit()


def _run_config(scratch: str, stopper: Stopper) -> tune.RunConfig:
    """Tune's own state is expendable, and it is the searcher that tries lost trials again."""
    return tune.RunConfig(
        name="autoshrink_ray",
        storage_path=scratch,
        stop=stopper,
        failure_config=tune.FailureConfig(max_failures=0),
        checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        verbose=0,
    )


def concurrency(config: TuningConfig, left: int) -> int:
    """Trials at once: what the nodes have room for now, so that later trials can learn.

    Args:
        config: The study's configuration.
        left: Trials that have to end yet.
    """
    most = config.max_concurrent or slots(resources(config))
    return max(1, min(left, most))


def resources(config: TuningConfig) -> Resources:
    """What one trial takes."""
    return Resources(config.cpus_per_trial, config.gpus_per_trial)


def _trainable(config: TuningConfig, data: ProxyData) -> Any:
    """The study's trainable with what all trials share, in Ray's object store."""
    trainable = tune.with_parameters(
        VariantTrainable,
        data=data,
        seed=config.seed,
        threads=config.threads,
        gpu=config.gpus_per_trial > 0,
        plugin_modules=config.plugins,
    )
    return tune.with_resources(trainable, resources(config).placement_group_factory())
