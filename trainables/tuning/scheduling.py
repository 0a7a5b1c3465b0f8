"""Samplers and schedulers of a study."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from ray.tune.experiment import Trial
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from autoshrink_ray.scheduler import error_text, last_line
from autoshrink_ray.seeds import derive_seed
from trainables.tuning.search import SEEDS, StudySearch
from trainables.tuning.trainable import QUALITY


def tpe(startup: int) -> Callable[[int], BaseSampler]:
    """Makes TPE samplers from seeds.

    Args:
        startup: Trials that are drawn at random first.
    """
    return lambda seed: TPESampler(seed=seed, n_startup_trials=startup)


def nsga2(population: int) -> Callable[[int], BaseSampler]:
    """Makes NSGA-II samplers from seeds.

    Args:
        population: Trials of a generation; those of the first are drawn at random.
    """
    return lambda seed: _Nsga2(seed, population)


class _Nsga2(NSGAIISampler):
    """NSGA-II with two seeds.

    Optuna starts the generator of crossovers and that of mutations from one. Where each trial has a
    seed, the two would draw the same number first, in each trial.
    """

    def __init__(self, seed: int, population: int) -> None:
        super().__init__(seed=seed, population_size=population)
        self._mutations = RandomSampler(seed=derive_seed(seed, "mutations") % SEEDS)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._mutations.sample_independent(study, trial, param_name, param_distribution)


class _TellsLosses:
    """Part of a scheduler: the searcher hears why a worker was lost, which Tune does not tell it.

    Attributes:
        search: The searcher.
    """

    search: StudySearch

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self.search.note_loss(trial.trial_id, last_line(error_text(trial.error_file)))


class AllTheWay(_TellsLosses, FIFOScheduler):  # type: ignore[misc]
    """Trains every trial to its end."""

    def recall(self, study: optuna.Study) -> None:
        """Nothing: no trial is compared with another one."""


class EarlyStopping(_TellsLosses, ASHAScheduler):  # type: ignore[misc]
    """Asynchronous successive halving (ASHA), which remembers what a study knows already."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(metric=QUALITY, **settings)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Forgets a lost trial: the one that repeats it reports the same epochs again."""
        super().on_trial_error(tune_controller, trial)
        self._trial_info.pop(trial.trial_id, None)
        for bracket in self._brackets:
            for _, recorded in bracket._rungs:
                recorded.pop(trial.trial_id, None)

    def recall(self, study: optuna.Study) -> None:
        """Takes in the epochs of earlier trials: Tune keeps nothing of a scheduler."""
        for trial in study.get_trials(deepcopy=False):
            if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED):
                continue
            stand_in = SimpleNamespace(trial_id=f"earlier-{trial.number}")
            self.on_trial_add(None, stand_in)
            for epoch, value in sorted(trial.intermediate_values.items()):
                result = {TRAINING_ITERATION: epoch, QUALITY: value}
                self.on_trial_result(None, stand_in, result)
