"""A run as one Ray Tune experiment: all searches in it, one trial per piece of work."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from autoshrink_ray import plugins
from autoshrink_ray.cluster import (
    Resources,
    connection,
    notices,
    quiet,
    require_fitting_node,
    slots,
)
from autoshrink_ray.config import SearchConfig
from autoshrink_ray.dispatch import Dispatcher
from autoshrink_ray.executors import WorkOff
from autoshrink_ray.plan import Plan
from autoshrink_ray.preflight import Needs, needed_modules, require_nodes
from autoshrink_ray.scheduler import (
    Fallible,
    RunStopper,
    ShrinkScheduler,
    ShrinkSearcher,
    StartNotes,
)

_MOST_PENDING = 1000
"""Trials that wait for resources at once; more would only slow Ray's own scheduling down."""

_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the ledger is the record
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the run has its own
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's state is expendable
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "1000000000",  # checked before the start
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a training that fails reports no metric
    "RAY_AIR_NEW_OUTPUT": "0",  # no banner
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


class TuneExecutor:
    """Places trials on a Ray cluster."""

    @contextmanager
    def ready(self, plan: Plan, data: Any, notify: Callable[[str], None]) -> Iterator[WorkOff]:
        with connection(plan.config.address) as own:
            resources = Resources(plan.config.cpus_per_trial, plan.config.gpus_per_trial)
            require_fitting_node(resources, notify)
            for text in notices(resources):
                notify(text)
            if not own:
                require_nodes(needs(plan), notify)
            at_once = concurrency(plan.config, resources if own else None)
            trainable = tune.with_resources(
                _trainable(plan.config, data), resources.placement_group_factory()
            )
            yield partial(work_off, trainable, at_once, resources.whole_device())


def needs(plan: Plan) -> Needs:
    """What a search asks of the nodes. Its workers read no data: they come with the trials."""
    config = plan.config
    return Needs(
        trial=Resources(config.cpus_per_trial, config.gpus_per_trial),
        storages=(config.storage,),
        modules=needed_modules(
            config.plugins, config.space, plugins.task_reference(plan.space.task)
        ),
    )


def work_off(
    trainable: Any,
    at_once: int,
    whole_device: tune.PlacementGroupFactory,
    dispatcher: Dispatcher,
    stop_requested: Callable[[], bool],
) -> None:
    """Works a dispatcher off in one Tune experiment.

    Args:
        trainable: Trainable class with its resources; takes `work`, reports `outcomes`.
        at_once: Trials at once, and worker processes kept warm.
        whole_device: Resources of a trial that has its device for itself.
        dispatcher: The run's work.
        stop_requested: Tells whether to stop before the end.

    Raises:
        RunError: If the run cannot go on.
    """
    if dispatcher.finished:
        return
    scheduler = ShrinkScheduler(dispatcher, at_once, whole_device)
    searcher = ShrinkSearcher(scheduler)
    dispatcher.begin(at_once)
    run_trials(
        trainable, searcher, scheduler, at_once, scheduler, stop_requested, [StartNotes(scheduler)]
    )
    if scheduler.failure is not None:
        raise scheduler.failure


def run_trials(
    trainable: Any,
    searcher: Searcher,
    scheduler: TrialScheduler,
    at_once: int,
    fallible: Fallible,
    stop_requested: Callable[[], bool],
    callbacks: Sequence[tune.Callback] = (),
) -> None:
    """Runs trials in one Tune experiment, whose own state is expendable.

    A trial whose worker is lost has failed for Tune; trying again is the searcher's business.

    Args:
        trainable: Trainable class with its resources.
        searcher: Says what is tried next, and when there is nothing left.
        scheduler: Says which trial goes on.
        at_once: Trials at once.
        fallible: Part of the experiment that knows of failures; one of them ends it.
        stop_requested: Tells whether to stop before the end.
        callbacks: Hear what Tune does.
    """
    with quiet_tune(at_once), tempfile.TemporaryDirectory(prefix="autoshrink-ray-") as scratch:
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                max_concurrent_trials=at_once,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: str(trial.trial_id),
            ),
            run_config=tune.RunConfig(
                name="autoshrink_ray",
                storage_path=scratch,
                stop=RunStopper(fallible, stop_requested),
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=list(callbacks),
                verbose=0,
            ),
        ).fit()


def concurrency(config: SearchConfig, own: Resources | None) -> int:
    """Trials at once: what the open rounds can use, on a cluster of our own what it can hold.

    Elsewhere all of them are pending at once, so that an autoscaler sees the whole demand.

    Args:
        config: The run's configuration.
        own: A trial's resources if the cluster was started for this run alone, else None.
    """
    per_search = config.candidates if config.algorithm == "shrink" else config.budget or 1
    demand = config.searches * (1 if config.granularity == "search" else per_search)
    if config.max_concurrent is not None:
        return min(config.max_concurrent, demand)
    most = slots(own) if own is not None else _MOST_PENDING
    return max(1, min(demand, most))


def _trainable(config: SearchConfig, data: Any) -> Any:
    """The run's trainable with what all its trials share, in Ray's object store."""
    trainable = plugins.trainable(config.granularity)
    return tune.with_parameters(trainable, settings=config.model_dump(mode="json"), data=data)


@contextmanager
def quiet_tune(max_pending: int) -> Iterator[None]:
    """Tune without its own logs, files and signal handlers, for the time of the run."""
    settings = _SETTINGS | {"TUNE_MAX_PENDING_TRIALS_PG": str(max_pending)}
    with quiet(("ray.tune",), settings):
        yield
