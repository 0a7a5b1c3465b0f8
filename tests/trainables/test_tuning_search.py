"""What is tried next, across interruptions and losses, with trials that are made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from ray.tune.result import TRAINING_ITERATION
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from autoshrink_ray.errors import DataError, RetriesExhaustedError, RunError
from autoshrink_ray.storage import Folder
from search_spaces.network import NetworkFile
from tests.trainables.tuning import SETTINGS, digits_network, small_config, text_network
from trainables.tuning.plan import TuningPlan
from trainables.tuning.scheduling import EarlyStopping, nsga2
from trainables.tuning.search import StudySearch
from trainables.tuning.storage import JOURNAL, open_storage, open_study
from trainables.tuning.trainable import QUALITY
from trainables.tuning.trials import all_trials, ended, give_back_all, next_draw


class Made:
    """A study whose trials are answered here instead of trained.

    Args:
        folder: Where the study is; opened anew by each object, as a new process would.
        trials: Trials in all.
        network: What is varied; None for digits.
        wanted: Learning rate of the best trial.
    """

    def __init__(
        self,
        folder: Path,
        trials: int,
        network: NetworkFile | None = None,
        *,
        wanted: float = 0.1,
        **changes: Any,
    ) -> None:
        self.wanted = wanted
        config = small_config(folder, trials=trials, **changes)
        self.plan = TuningPlan.of(network or digits_network(), config)
        is_there = (folder / JOURNAL).exists()
        self._opened = open_storage(None, Folder(str(folder)))
        storage = self._opened.__enter__()
        directions = self.plan.objective.directions
        self.study = open_study(storage, "study", directions, "same", resumed=is_there)
        give_back_all(self.study)
        self.told: list[Any] = []
        self.search = StudySearch(
            self.study,
            storage,
            self.plan.draw,
            trials=trials,
            max_retries=config.max_retries,
            observers=[self],
        )
        self._names = iter(range(10_000))

    def on_trial(self, trial: Any) -> None:
        self.told.append(trial)

    def start(self) -> str | None:
        """Name of the next trial; None while none may start; 'FINISHED' at the end."""
        name = f"{id(self)}-{next(self._names)}"
        config = self.search.suggest(name)
        if config is None or config == Searcher.FINISHED:
            return config
        return name

    def finish(self, name: str) -> None:
        rate = self.search._ot_trials[name].params["recipe.learning_rate"]
        self.search.on_trial_complete(name, result=outcome(accuracy=1 - abs(rate - self.wanted)))

    def draw_in_part(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Dies between the two settings of a trial."""
        suggest = optuna.Trial._suggest

        def one_only(trial: optuna.Trial, name: str, distribution: Any) -> Any:
            if trial.params:
                raise KeyboardInterrupt
            return suggest(trial, name, distribution)

        with monkeypatch.context() as patched:
            patched.setattr(optuna.Trial, "_suggest", one_only)
            with pytest.raises(KeyboardInterrupt):
                self.start()

    def run(self, count: int = 10_000) -> None:
        """Trials one after the other."""
        for _ in range(count):
            name = self.start()
            if name is None or name == Searcher.FINISHED:
                return
            self.finish(name)


def outcome(accuracy: float | None = None, status: str = "finished", **more: Any) -> dict[str, Any]:
    result = {"status": status, "epochs": 1, "seconds": 0.1, "device": "cpu"}
    measured = {} if accuracy is None else {QUALITY: accuracy}
    return result | measured | {TRAINING_ITERATION: 1} | more


def tried(study: optuna.Study) -> list[tuple[dict[str, Any], list[float]]]:
    return [(trial.params, trial.values) for trial in ended(all_trials(study))]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


@pytest.mark.parametrize("changes", [{}, {"objective": "quality-macs", "population": 4}])
def test_a_study_that_is_interrupted_tries_what_it_would_have_tried(
    tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = Made(tmp_path / "one", 16, **changes)
    undisturbed.run()
    for stop in (2, 5, 4):
        cut = Made(tmp_path / "other", 16, **changes)
        cut.run(stop)
        assert cut.start() not in (None, Searcher.FINISHED)  # is out when its driver dies
    dying = Made(tmp_path / "other", 16, **changes)
    dying.run(2)
    dying.draw_in_part(monkeypatch)
    last = Made(tmp_path / "other", 16, **changes)
    last.run()
    assert tried(last.study) == tried(undisturbed.study)
    assert len(tried(last.study)) == 16
    states = [trial.state for trial in all_trials(last.study)]
    assert states.count(TrialState.FAIL) == 4


def test_no_settings_come_twice(tmp_path: Path) -> None:
    for trials in (3, 6, 9):
        made = Made(tmp_path, trials)
        made.run()
    params = [tuple(params.values()) for params, _ in tried(made.study)]
    assert len(set(params)) == len(params) == 9


def test_earlier_trials_guide_a_study_that_goes_on(tmp_path: Path) -> None:
    """Once TPE has enough of them, what it draws depends on what they gave."""
    drawn = []
    for wanted in (0.03, 0.3):
        Made(tmp_path / str(wanted), 12, wanted=wanted).run()
        made = Made(tmp_path / str(wanted), 13, wanted=wanted)
        made.run()
        drawn.append([params for params, _ in tried(made.study)])
    assert drawn[0][:10] == drawn[1][:10]
    assert drawn[0][12] != drawn[1][12]


def test_no_more_trials_are_out_than_are_missing(tmp_path: Path) -> None:
    made = Made(tmp_path, 3)
    names = [made.start() for _ in range(3)]
    assert made.start() is None
    for name in names:
        assert name is not None
        made.finish(name)
    assert made.start() == Searcher.FINISHED
    assert [trial.number for trial in made.told] == [0, 1, 2]


@pytest.mark.parametrize(
    ("result", "state", "value"),
    [
        (outcome(0.5), TrialState.COMPLETE, 0.5),
        (outcome(0.5, "training"), TrialState.PRUNED, 0.5),
        (outcome(None, "failed", reason="diverged"), TrialState.FAIL, None),
        (outcome(None, "out_of_memory", reason="no memory"), TrialState.FAIL, None),
    ],
)
def test_each_end_is_a_state_of_optunas(
    tmp_path: Path, result: dict[str, Any], state: TrialState, value: float | None
) -> None:
    made = Made(tmp_path, 1)
    name = made.start()
    assert name is not None
    made.search.on_trial_complete(name, result=result)
    (trial,) = all_trials(made.study)
    assert (trial.state, trial.value) == (state, value)
    assert trial.user_attrs.get("reason") == result.get("reason")
    assert {"macs", "params", "epochs", "seconds", "device"} <= trial.user_attrs.keys()
    assert made.start() == Searcher.FINISHED


def test_a_lost_trial_is_tried_again_first_and_not_for_ever(tmp_path: Path) -> None:
    made = Made(tmp_path, 2, max_retries=1)
    lost = made.start()
    assert lost is not None
    made.search.note_loss(lost, "a node is gone")
    made.search.on_trial_complete(lost, error=True)
    again = made.start()
    assert again is not None
    first, second = all_trials(made.study)
    assert (second.params, second.user_attrs["again_for"]) == (first.params, 0)
    assert first.user_attrs["reason"] == "lost: a node is gone"
    assert (next_draw(made.study), ended(all_trials(made.study)), made.told) == (1, [], [])
    made.search.on_trial_complete(again, error=True)
    assert made.start() == Searcher.FINISHED
    assert isinstance(made.search.failure, RetriesExhaustedError)
    assert "trial 1 was lost 2 times" in str(made.search.failure)
    other = Made(tmp_path, 2)
    other.run()
    assert len(tried(other.study)) == 2
    assert other.search.failure is None


def test_settings_that_do_not_go_together_are_a_failed_trial(tmp_path: Path) -> None:
    ranges = {
        "recipe.shortest_segment": {"low": 1, "high": 30},
        "recipe.bptt": {"low": 10, "high": 40},
    }
    without = dict.fromkeys(SETTINGS)
    made = Made(tmp_path, 20, text_network(), ranges=ranges, settings=without)
    while made.start() not in (None, Searcher.FINISHED):
        pass
    assert made.search.failure is None
    assert 0 < len(made.told) < 20
    assert len(made.told) + len(made.search._out) == 20
    for trial in made.told:
        assert trial.state == TrialState.FAIL
        assert "shortest_segment is at most bptt" in trial.user_attrs["reason"]
        assert trial.params["recipe.shortest_segment"] > trial.params["recipe.bptt"]


def test_what_an_observer_raises_ends_the_study(tmp_path: Path) -> None:
    made = Made(tmp_path, 3)

    class Broken:
        def on_trial(self, trial: Any) -> None:
            raise ZeroDivisionError("an observer of the user's")

    made.search._observers = [Broken()]
    made.run()
    assert isinstance(made.search.failure, ZeroDivisionError)
    assert len(tried(made.study)) == 1


def test_a_storage_that_gives_way_ends_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(tmp_path, 3)
    name = made.start()
    assert name is not None

    def full(*arguments: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(made.search._ot_study._storage, "set_trial_state_values", full)
    made.finish(name)
    assert isinstance(made.search.failure, OSError)
    assert made.start() == Searcher.FINISHED


@pytest.mark.parametrize(("kind", "raised"), [("DataError", DataError), ("OwnError", RunError)])
def test_what_a_trial_refuses_on_purpose_ends_the_study(
    tmp_path: Path, kind: str, raised: type[Exception]
) -> None:
    made = Made(tmp_path, 3)
    name = made.start()
    assert name is not None
    refused = {"status": "refused", "kind": kind, "reason": "a damaged image", "done": True}
    made.search.on_trial_complete(name, result=refused | {TRAINING_ITERATION: 1})
    assert type(made.search.failure) is raised
    assert str(made.search.failure) == "a damaged image"
    assert (made.start(), made.told) == (Searcher.FINISHED, [])
    again = Made(tmp_path, 3)
    again.run()
    assert len(tried(again.study)) == 3


def test_mutations_are_not_tied_to_crossovers() -> None:
    """Whether two parents are crossed is drawn first, and so is the first mutated setting."""
    study = optuna.create_study()
    trial, whole = study.ask(), FloatDistribution(0, 1)
    drawn, crossed = [], []
    for seed in range(300):
        sampler = nsga2(4)(seed)
        drawn.append(sampler.sample_independent(study, trial._get_latest_trial(), "x", whole))
        crossed.append(np.random.RandomState(seed).rand())
    assert abs(np.corrcoef(drawn, crossed)[0, 1]) < 0.2
    assert max(drawn) > 0.95
    assert len(set(drawn)) == 300


def early_stopping() -> EarlyStopping:
    return EarlyStopping(max_t=9, grace_period=1, reduction_factor=3, mode="max")


def decision(scheduler: EarlyStopping, accuracy: float) -> str:
    trial = SimpleNamespace(trial_id="new")
    scheduler.on_trial_add(None, trial)
    return str(scheduler.on_trial_result(None, trial, {TRAINING_ITERATION: 1, QUALITY: accuracy}))


def test_early_stopping_remembers_the_trials_of_earlier_starts(tmp_path: Path) -> None:
    made = Made(tmp_path, 3)
    for accuracy in (0.7, 0.8, 0.9):
        name = made.start()
        assert name is not None
        made.search.on_trial_complete(name, result=outcome(accuracy))
    assert decision(early_stopping(), 0.1) == TrialScheduler.CONTINUE
    scheduler = early_stopping()
    scheduler.recall(made.study)
    assert decision(scheduler, 0.1) == TrialScheduler.STOP
    assert decision(scheduler, 0.95) == TrialScheduler.CONTINUE


def test_early_stopping_forgets_a_lost_trial_which_another_one_repeats(tmp_path: Path) -> None:
    scheduler = early_stopping()
    scheduler.search = Made(tmp_path, 3).search
    for name in ("lost", "again"):
        trial = SimpleNamespace(trial_id=name, error_file=None)
        scheduler.on_trial_add(None, trial)
        for epoch in (1, 3):
            scheduler.on_trial_result(None, trial, {TRAINING_ITERATION: epoch, QUALITY: 0.9})
        if name == "lost":
            scheduler.on_trial_error(None, trial)
    assert scheduler._trial_info.keys() == {"again"}
    rungs = [recorded.keys() for _, recorded in scheduler._brackets[0]._rungs]
    assert rungs == [set(), {"again"}, {"again"}]
