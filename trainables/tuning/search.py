"""A study inside Ray Tune: Optuna says what is tried next, ASHA which trial goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from ray.tune.result import TRAINING_ITERATION
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from autoshrink_ray.errors import RetriesExhaustedError, UsageError
from autoshrink_ray.seeds import derive_seed
from trainables.tuning.objective import TuningObjective
from trainables.tuning.space import Range
from trainables.tuning.subject import Subject
from trainables.tuning.trainable import QUALITY, REFUSED, STATUS, refusal, trial_config
from trainables.tuning.trials import ATTEMPT, MACS, all_trials, ended, give_back, next_draw

PARAMS = "params"
REASON = "reason"

_KEPT = ("epochs", "seconds", "device")
"""What of a trial's last result becomes attributes of the Optuna trial."""

SEEDS = 2**32
"""Samplers are started from so many seeds."""


class TrialObserver(Protocol):
    """Told of trials that have ended."""

    def on_trial(self, trial: FrozenTrial) -> None:
        """A trial is complete, stopped early or failed, and in the study's storage."""
        ...


@dataclass(frozen=True)
class Draw:
    """What trials are drawn from, and how.

    Attributes:
        subject: What is varied.
        ranges: What the settings are drawn from, by key.
        objective: What trials are compared by.
        sampler: Makes the sampler from a seed.
        seed: Decides all draws.
    """

    subject: Subject
    ranges: Mapping[str, Range]
    objective: TuningObjective
    sampler: Callable[[int], BaseSampler]
    seed: int


class StudySearch(OptunaSearch):  # type: ignore[misc]
    """Ray's Optuna searcher, which also knows failures, early stops and lost trials.

    The sampler is seeded anew for each trial, by the number of its draw. So a study that goes
    on draws other settings than it began with, and those that it would have drawn undisturbed if
    its trials come one after the other.

    Args:
        study: The study.
        storage: Where it is kept.
        draw: What trials are drawn from.
        trials: Trials that are to end in all, earlier ones included.
        max_retries: How often a trial that the infrastructure lost is tried again.
        observers: Told of each trial that has ended.

    Attributes:
        failure: What ended the study before its time.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        draw: Draw,
        *,
        trials: int,
        max_retries: int,
        observers: Sequence[TrialObserver] = (),
    ) -> None:
        both = draw.objective.with_macs
        super().__init__(
            {key: found.distribution for key, found in draw.ranges.items()},
            metric=[QUALITY, MACS] if both else QUALITY,
            mode=draw.objective.modes if both else draw.objective.modes[0],
            study_name=study.study_name,
            storage=storage,
            sampler=draw.sampler(0),
        )
        self._study, self._draw = study, draw
        self._trials, self._max_retries = trials, max_retries
        self._observers = observers
        self._out: set[str] = set()
        self._losses: dict[str, str] = {}
        self.failure: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts into a state of its own, which nobody ever reads."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        try:
            while self.failure is None:
                done = len(ended(all_trials(self._study)))
                if done >= self._trials:
                    break
                if done + len(self._out) >= self._trials:
                    return None
                if config := self._drawn(trial_id):
                    return config
        except Exception as error:  # noqa: BLE001 - Tune would take it for a bug of its own
            self.failure = error
        return str(Searcher.FINISHED)

    def _drawn(self, trial_id: str) -> dict[str, Any] | None:
        """Configuration of the next trial; None if there can be no such network or recipe."""
        seed = derive_seed(self._draw.seed, "sampler", next_draw(self._study)) % SEEDS
        self._ot_study.sampler = self._draw.sampler(seed)
        labels = super().suggest(trial_id)
        settings = {key: self._draw.ranges[key].value(label) for key, label in labels.items()}
        try:
            variant = self._draw.subject.variant(settings)
        except UsageError as error:
            self._end(trial_id, TrialState.FAIL, reason=str(error))
            del self._ot_trials[trial_id]  # the name is free for the next draw
            self._completed_trials.remove(trial_id)
            return None
        self._note(trial_id, {name: variant.network.costs[name] for name in (MACS, PARAMS)})
        self._out.add(trial_id)
        return trial_config(variant.network, variant.recipe)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Takes the quality after an epoch."""
        if QUALITY in result and not self._draw.objective.with_macs:
            self._guarded(lambda: self._report(trial_id, result))

    def _report(self, trial_id: str, result: dict[str, Any]) -> None:
        if result[TRAINING_ITERATION] not in self._frozen(trial_id).intermediate_values:
            super().on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Takes a trial's end: by itself, by the scheduler, or by the loss of its worker."""
        if trial_id not in self._out:
            return
        self._out.remove(trial_id)
        if error or result is None:
            self._guarded(lambda: self._give_back(trial_id))
        else:
            self.on_trial_result(trial_id, result)
            self._guarded(lambda: self._finish(trial_id, result))

    def note_loss(self, trial_id: str, reason: str) -> None:
        """Hears, before the trial's end, why its worker was lost."""
        self._losses[trial_id] = reason

    def _finish(self, trial_id: str, result: dict[str, Any]) -> None:
        if result[STATUS] == REFUSED:
            self._note(trial_id, {REASON: result[REASON]})
            raise refusal(result)
        self._note(trial_id, {name: result[name] for name in _KEPT})
        if result[STATUS] == "finished":
            macs = self._frozen(trial_id).user_attrs[MACS]
            self._end(trial_id, TrialState.COMPLETE, result | {MACS: macs})
        elif result[STATUS] == "training":
            self._end(trial_id, TrialState.PRUNED)
        else:
            self._end(trial_id, TrialState.FAIL, reason=result[REASON])

    def _end(
        self,
        trial_id: str,
        state: TrialState,
        result: dict[str, Any] | None = None,
        reason: str = "",
    ) -> None:
        if reason:
            self._note(trial_id, {REASON: reason})
        super().on_trial_complete(trial_id, result, error=state == TrialState.FAIL)
        trial = self._frozen(trial_id)
        if trial.state != state:  # OptunaSearch only logs what the storage raises
            raise OSError(f"trial {trial.number} could not be written as {state.name.lower()}")
        for observer in self._observers:
            observer.on_trial(trial)

    def _give_back(self, trial_id: str) -> None:
        trial = self._frozen(trial_id)
        attempt = trial.user_attrs.get(ATTEMPT, 1)
        reason = self._losses.get(trial_id, "unknown reason")
        self._note(trial_id, {REASON: f"lost: {reason}"})
        too_often = attempt > self._max_retries
        give_back(self._study, trial.number, 1 if too_often else attempt + 1)
        if too_often:
            raise RetriesExhaustedError(
                f"trial {trial.number} was lost {attempt} times, at last: {reason}"
            )

    def _guarded(self, step: Callable[[], None]) -> None:
        """What goes wrong here ends the study; Tune would take it for the trial's fault."""
        try:
            step()
        except Exception as error:  # noqa: BLE001
            self.failure = self.failure or error

    def _note(self, trial_id: str, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            self._ot_trials[trial_id].set_user_attr(name, value)

    def _frozen(self, trial_id: str) -> FrozenTrial:
        number: int = self._ot_trials[trial_id].number
        return all_trials(self._study)[number]

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: Optuna's storage is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a study goes on from Optuna's storage."""
