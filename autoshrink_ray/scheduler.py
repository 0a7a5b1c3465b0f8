"""The policies inside Ray Tune: a scheduler that feeds them and a searcher that asks them.

Written against Ray 2.60 and pinned to it, as `autoshrink_ray.warm` is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ray.tune import Callback, PlacementGroupFactory, Stopper
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from autoshrink_ray.dispatch import Dispatcher
from autoshrink_ray.errors import RunError
from autoshrink_ray.warm import WarmWorkers
from autoshrink_ray.work import Assignment, Loss, Outcome

_NODE_LOST = ("its node has died", "is temporarily unavailable")
"""What Ray's error says when an actor went with its node.

A node tells at once when one of its processes dies; an actor that cannot be reached and is not
known to be dead is one of a node that has gone, or been cut off, a moment ago.
"""


class ShrinkScheduler(TrialScheduler):  # type: ignore[misc]
    """Tune's trial scheduler of a run: the progressive shrink policy decides here.

    A trial's result goes to the ledger and to its search's policy before anything else happens;
    the trial is stopped once its work is done. When that completes a round, the policy decides,
    and the searcher finds the next round's candidates waiting.

    Args:
        dispatcher: The run's work.
        at_once: Trials at once. Of the workers that have nothing to do, those stay warm for which
            there may be work again.
        exclusive: Resources of a trial that has its device for itself.
    """

    def __init__(
        self, dispatcher: Dispatcher, at_once: int, exclusive: PlacementGroupFactory
    ) -> None:
        super().__init__()
        self._dispatcher = dispatcher
        self._at_once = at_once
        self._exclusive = exclusive
        self._assignments: dict[str, Assignment] = {}
        self._warm = WarmWorkers()
        self._alone: set[str] = set()
        self.failure: Exception | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its parts into a state of its own, which nobody ever reads."""
        return {}

    def next_work(self, trial_id: str) -> Assignment | None:
        """Work for a new trial, or None while there is none to start."""
        try:
            assignment = self._dispatcher.next()
        except Exception as error:  # noqa: BLE001 - an observer's, for instance
            self.failure = error
            return None
        if assignment is not None:
            self._assignments[trial_id] = assignment
        return assignment

    def require_settled(self, trial_id: str) -> None:
        """Fails the run if a trial has ended whose work is still thought to be out."""
        if trial_id in self._assignments and self.failure is None:
            self.failure = RunError(
                f"trial {trial_id} ended and its scheduler was not told: "
                f"a run needs ShrinkScheduler beside ShrinkSearcher"
            )

    @property
    def over(self) -> bool:
        """Whether no more trial will be needed."""
        return self.failure is not None or self._dispatcher.finished

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        assignment = self._assignments.get(trial.trial_id)
        if assignment is None:
            # Tune starts a trial again by itself if its node was preempted. The work of this one
            # is in line already, for another trial.
            tune_controller.stop_trial(trial)
        elif assignment.work.exclusive:
            self._give_own_device(tune_controller, trial)
        else:
            self._warm.serve(tune_controller, trial.placement_group_factory)
            self._keep_warm(tune_controller)

    def _keep_warm(self, tune_controller: Any) -> None:
        """No worker is idle for nothing; none at all while a trial needs a whole device."""
        wanted = 0
        if not self._alone and not self.over:
            try:
                wanted = self._dispatcher.idle_wanted(self._at_once)
            except Exception as error:  # noqa: BLE001 - a policy's
                self.failure = error
        self._warm.keep(tune_controller, wanted)

    def _give_own_device(self, tune_controller: Any, trial: Trial) -> None:
        """Warm workers hold memory and resources: they go while a trial needs a whole device."""
        trial.update_resources(self._exclusive)
        self._alone.add(trial.trial_id)
        self._keep_warm(tune_controller)

    def _leave_own_device(self, tune_controller: Any, trial: Trial) -> None:
        self._alone.discard(trial.trial_id)
        self._keep_warm(tune_controller)

    def on_trial_start(self, trial_id: str) -> None:
        """Hears from `StartNotes` that a trial has its place on a worker."""
        assignment = self._assignments.get(trial_id)
        if assignment is None:
            return
        try:
            self._dispatcher.started(assignment.number)
        except Exception as error:  # noqa: BLE001 - an observer's
            self.failure = error

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        assignment = self._assignments[trial.trial_id]
        outcomes = [Outcome.model_validate_json(text) for text in result["outcomes"]]
        try:
            done = self._dispatcher.report(assignment.number, outcomes)
        except Exception as error:  # noqa: BLE001 - Tune would take it for the trial's fault
            self.failure = error
            done = True
        self._keep_warm(tune_controller)
        return str(TrialScheduler.STOP if done else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._leave_own_device(tune_controller, trial)
        self._assignments.pop(trial.trial_id, None)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._leave_own_device(tune_controller, trial)
        assignment = self._assignments.pop(trial.trial_id, None)
        if assignment is None:
            return
        try:
            text = error_text(trial.error_file)
            reason, loss = last_line(text), _kind_of_loss(trial, text)
            self._dispatcher.lost(assignment.number, reason, loss)
        except Exception as error:  # noqa: BLE001 - ours, or an observer's
            self.failure = error
        self._keep_warm(tune_controller)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._leave_own_device(tune_controller, trial)
        self._assignments.pop(trial.trial_id, None)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """None: pending trials start by themselves, oldest first, as resources come free."""
        return None

    def debug_string(self) -> str:
        return f"{len(self._assignments)} trials out"


class ShrinkSearcher(Searcher):  # type: ignore[misc]
    """Turns work into trial configurations; decides nothing.

    Args:
        scheduler: Holds the work.
    """

    def __init__(self, scheduler: ShrinkScheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def suggest(self, trial_id: str) -> dict[str, str] | str | None:
        assignment = None if self._scheduler.over else self._scheduler.next_work(trial_id)
        if assignment is not None:
            return {"work": assignment.work.model_dump_json()}
        return str(Searcher.FINISHED) if self._scheduler.over else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Checks that the scheduler has heard of the trial's end; without it a run would hang."""
        self._scheduler.require_settled(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the only truth of a run."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a run resumes by replaying its ledger."""


class StartNotes(Callback):  # type: ignore[misc]
    """Tells the scheduler that a trial has begun, which Tune tells to callbacks only.

    Args:
        scheduler: Is told.
    """

    def __init__(self, scheduler: ShrinkScheduler) -> None:
        self._scheduler = scheduler

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as in `ShrinkScheduler`."""
        return {}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._scheduler.on_trial_start(trial.trial_id)


class Fallible(Protocol):
    """Part of a Tune experiment that knows why it cannot go on.

    Attributes:
        failure: What ended it before its time.
    """

    failure: Exception | None


class RunStopper(Stopper):  # type: ignore[misc]
    """Ends a Tune experiment when the run has failed or somebody asked for it.

    Args:
        fallible: Knows of failures.
        stop_requested: Tells whether to stop.
    """

    def __init__(self, fallible: Fallible, stop_requested: Any) -> None:
        self._fallible = fallible
        self._stop_requested = stop_requested

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as in `ShrinkScheduler`."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._fallible.failure is not None or bool(self._stop_requested())


def error_text(error_file: str | None) -> str:
    """What a trial died of, from the file that Tune keeps for it on the driver's disk."""
    return Path(error_file).read_text() if error_file and Path(error_file).exists() else ""


def last_line(text: str) -> str:
    """The last line of `text` that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "unknown reason"


def _kind_of_loss(trial: Trial, text: str) -> Loss:
    """Tune counts no failure where Ray reports a preemption; Ray names a node that died."""
    if "died" in text and trial.num_failures == 0:
        return "preemption"
    return "node" if any(words in text for words in _NODE_LOST) else "worker"
