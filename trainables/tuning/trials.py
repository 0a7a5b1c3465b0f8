"""Trials in Optuna's storage: which ones have ended, and which have to be run again."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

MACS = "macs"
"""Attribute of a trial, written once all its settings are drawn."""

AGAIN_FOR = "again_for"
"""Attribute of a trial: number of the lost trial that it repeats."""

ATTEMPT = "attempt"
"""Attribute of a trial that repeats another one: how often its settings were started."""

_ENDED = {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}


def all_trials(study: optuna.Study) -> list[FrozenTrial]:
    """All trials by number, in whatever state."""
    return list(study.get_trials(deepcopy=False))


def ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Trials that are complete, were stopped early or failed by a fault of their own.

    A trial that was lost is not one of them: another one repeats it.

    Args:
        trials: All trials of a study.
    """
    lost = _repeated(trials)
    return [trial for trial in trials if trial.state in _ENDED and trial.number not in lost]


def next_draw(study: optuna.Study) -> int:
    """Number of the draw, from 0, that the next trial comes from.

    A trial that repeats a lost one, and is next in line, comes from the same draw.
    """
    trials = all_trials(study)
    number = len(trials)
    for trial in trials:
        if trial.state == TrialState.WAITING:
            number = trial.number
            break
    while number < len(trials) and AGAIN_FOR in trials[number].user_attrs:
        number = trials[number].user_attrs[AGAIN_FOR]
    return sum(AGAIN_FOR not in trial.user_attrs for trial in trials[:number])


def give_back(study: optuna.Study, number: int, attempt: int = 1) -> None:
    """Marks a running trial as failed and puts its settings first in line.

    A process that dies in between leaves a trial that is still running, and this is done again.

    Args:
        study: The study.
        number: The trial.
        attempt: How often its settings will have been started then.
    """
    trials = all_trials(study)
    if number not in _repeated(trials):
        study.add_trial(_repetition(trials[number], attempt))
    study.tell(number, state=TrialState.FAIL)


def give_back_all(study: optuna.Study) -> int:
    """Gives back every trial that runs according to the storage, and says how many."""
    running = [t.number for t in all_trials(study) if t.state == TrialState.RUNNING]
    for number in running:
        give_back(study, number)
    return len(running)


def _repetition(lost: FrozenTrial, attempt: int) -> FrozenTrial:
    """A trial that waits, as `Study.enqueue_trial` makes it, with the place that it has already.

    NSGA-II keeps a trial's generation in its system attributes and does not count one without.
    Settings that a dying process had drawn in part are drawn again.
    """
    params = lost.params if MACS in lost.user_attrs else {}
    return create_trial(
        state=TrialState.WAITING,
        system_attrs={**lost.system_attrs, "fixed_params": params},
        user_attrs={AGAIN_FOR: lost.number, ATTEMPT: attempt},
    )


def _repeated(trials: Sequence[FrozenTrial]) -> set[int]:
    return {trial.user_attrs[AGAIN_FOR] for trial in trials if AGAIN_FOR in trial.user_attrs}
