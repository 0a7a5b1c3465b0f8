"""A study's trials as one Ray Tune experiment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray import tune

from autoshrink_ray.cluster import Resources, slots, startable_slots
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.executors.tune import run_trials
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
    scheduler.search = search
    trainable, at_once = _trainable(plan.config, data), concurrency(plan.config, left)
    run_trials(trainable, search, scheduler, at_once, search, stop_requested)


def concurrency(config: TuningConfig, left: int) -> int:
    """Trials at once: what the nodes have room for, with those that an autoscaler may start.

    No more, so that later trials can learn from earlier ones.

    Args:
        config: The study's configuration.
        left: Trials that have to end yet.
    """
    trial = resources(config)
    most = config.max_concurrent or slots(trial) + startable_slots(trial)
    return max(1, int(min(left, most)))


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
