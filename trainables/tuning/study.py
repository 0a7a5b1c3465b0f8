"""Studies: starting one, or going on with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, Protocol

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from autoshrink_ray.cluster import connection, require_fitting_node
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.errors import AutoshrinkError, RunError
from autoshrink_ray.files import LEASE, digest
from autoshrink_ray.lease import Hold, ending, held
from autoshrink_ray.preflight import Needs, needed_modules, require_nodes
from autoshrink_ray.run import fresh_name, require_free, require_same
from autoshrink_ray.signals import interruptible
from autoshrink_ray.storage import Folder, join
from search_spaces.network import NetworkFile
from trainables.tuning import record
from trainables.tuning.config import TuningConfig
from trainables.tuning.plan import TuningPlan
from trainables.tuning.record import StudyFile
from trainables.tuning.results import TuningResult, write_results
from trainables.tuning.search import REASON, StudySearch
from trainables.tuning.storage import (
    JOURNAL,
    STORAGE_FAILURES,
    open_storage,
    open_study,
    shown,
)
from trainables.tuning.trials import all_trials, give_back_all
from trainables.tuning.tuner import resources, work_off


class TuningObserver(Protocol):
    """Told how a study goes."""

    def on_start(self, result: TuningResult, data: ProxyData) -> None:
        """The study is about to start or go on; `result` shows what it has already."""
        ...

    def on_trial(self, trial: FrozenTrial) -> None:
        """A trial is complete, stopped early or failed, and in the study's storage."""
        ...

    def on_note(self, text: str) -> None:
        """Something that a user should know and no result depends on."""
        ...


def _note(observers: Sequence[TuningObserver], text: str) -> None:
    for observer in observers:
        observer.on_note(text)


def run_tuning(
    network: NetworkFile, config: TuningConfig, *, observers: Sequence[TuningObserver] = ()
) -> TuningResult:
    """Tries settings of a network and its recipe, or goes on with the study of that name.

    Args:
        network: What is varied.
        config: How.
        observers: Told of everything that is finished.

    Returns:
        The study, with as many trials ended as the configuration asks for.

    Raises:
        UsageError: If the configuration, the data or a storage is wrong, or the name belongs to a
            study with another configuration.
        RunError: If the study failed, or no trial was trained to its end; ended trials are kept.
        RunHeldError: If another process is at work on the study.
        RunInterruptedError: On SIGINT or SIGTERM; the study can go on.
    """
    plan = TuningPlan.of(network, config)
    data = plan.load_data()
    Folder(config.storage).check_writable()
    name = config.name or fresh_name(f"tune-{network.space}")
    folder = Folder(join(config.storage, name))
    identity = plan.identity(data.fingerprint)
    resumed = _is_there(folder, name, identity)
    place = shown(config.study_storage, folder)
    note = partial(_note, observers)
    with _quiet_optuna(), interruptible() as caught, ExitStack() as stack:
        if not resumed:  # a start that is refused leaves nothing behind
            stack.enter_context(_ready(plan, data, note))
        hold = stack.enter_context(held(folder, note, caught))
        storage = stack.enter_context(open_storage(config.study_storage, folder))
        study = _Study(name, folder, storage, place, plan, data, hold, caught)
        if resumed:
            if not study.opened(identity, resumed=True).left:
                return study.ended()
            stack.enter_context(_ready(plan, data, note))
        study.opened(identity, resumed=resumed)
        return study.drive(observers)


@contextmanager
def _ready(plan: TuningPlan, data: ProxyData, note: Callable[[str], None]) -> Iterator[None]:
    """A cluster whose nodes can hold the study's trials."""
    config = plan.config
    with connection(config.address) as own:
        require_fitting_node(resources(config))
        if not own:
            files = tuple(getattr(data, "files_of_workers", tuple)())
            modules = needed_modules(config.plugins)
            storages = (config.storage,)
            require_nodes(Needs(resources(config), storages, modules, files), note)
        yield


def _is_there(folder: Folder, name: str, identity: dict[str, Any]) -> bool:
    """Whether the study was started before; refuses a name that belongs to something else."""
    if folder.exists(record.STUDY):
        require_same(name, StudyFile.read(folder).identity, identity)
        return True
    require_free(name, folder, ours={JOURNAL, f"{JOURNAL}.lock", LEASE})
    return False


@dataclass(frozen=True)
class _Study:
    """A study that this process works on."""

    name: str
    folder: Folder
    storage: BaseStorage
    place: str
    plan: TuningPlan
    data: ProxyData
    hold: Hold
    caught: Sequence[int]

    def opened(self, identity: dict[str, Any], *, resumed: bool) -> _Study:
        """The same, there in Optuna's storage and with trials of a dead process in line again."""
        key = digest(json.dumps(identity, sort_keys=True).encode())
        directions = self.plan.objective.directions
        study = open_study(self.storage, self.name, directions, key, resumed=resumed)
        if not resumed:
            self._describe(identity)
        with _storage_failures():
            give_back_all(study)
        return self

    def _describe(self, identity: dict[str, Any]) -> None:
        StudyFile(
            name=self.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            identity=identity,
            network=self.plan.subject.network.model_dump(mode="json"),
            data=str(self.plan.training.config.data),
            data_summary=self.data.summary,
            study_storage=self.place,
            versions=record.study_versions(),
        ).write(self.folder)

    @cached_property
    def optunas(self) -> optuna.Study:
        return optuna.load_study(study_name=self.name, storage=self.storage)

    def result(self) -> TuningResult:
        with _storage_failures():
            trials = all_trials(self.optunas)
        return TuningResult(self.name, self.folder, self.place, self.plan, trials)

    @property
    def left(self) -> int:
        """Trials that have to end yet."""
        return max(0, self.plan.config.trials - len(self.result().ended))

    def drive(self, observers: Sequence[TuningObserver]) -> TuningResult:
        """Tries what is left; whatever happens, readable files stay behind."""
        try:
            self._run(observers)
        except Exception as error:
            with suppress(AutoshrinkError, *STORAGE_FAILURES):
                if not self.hold.is_lost_now():
                    self._leave_readable(error)
            raise
        return self.ended()

    def _leave_readable(self, error: Exception) -> None:
        if not isinstance(error.__cause__, STORAGE_FAILURES):  # it may still be broken
            give_back_all(self.optunas)
        write_results(self.result())

    def ended(self) -> TuningResult:
        """The study at its end.

        Raises:
            RunError: If no trial was trained to its end.
        """
        result = self.result()
        write_results(result)
        if not result.complete:
            reasons = {str(trial.user_attrs.get(REASON, "")) for trial in result.ended} - {""}
            raise RunError(f"no trial was trained to its end: {'; '.join(sorted(reasons)[:5])}")
        return result

    def _run(self, observers: Sequence[TuningObserver]) -> None:
        config = self.plan.config
        for observer in observers:
            observer.on_start(self.result(), self.data)
        search = StudySearch(
            self.optunas,
            self.storage,
            self.plan.draw,
            trials=config.trials,
            max_retries=config.max_retries,
            observers=observers,
        )
        scheduler = self.plan.scheduler()
        scheduler.recall(self.optunas)
        stop = partial(ending, self.caught, self.hold)
        work_off(self.plan, self.data, search, scheduler, self.left, lambda: stop() is not None)
        if isinstance(search.failure, STORAGE_FAILURES):
            raise RunError(
                f"the study storage gave way: {search.failure}; the study can be resumed"
            ) from search.failure
        if search.failure is not None:
            raise search.failure
        if self.left:
            raise stop() or RunError(
                "Ray Tune returned before the study was finished; it can be resumed"
            )


@contextmanager
def _storage_failures() -> Iterator[None]:
    """A storage that gives way while a study goes is no wrong usage."""
    try:
        yield
    except STORAGE_FAILURES as error:
        raise RunError(f"the study storage gave way: {error}") from error


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Optuna without its own lines about each study and trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
