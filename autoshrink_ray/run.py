"""Starting a run, or going on with one."""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from autoshrink_ray.conductor import Conductor, Observer
from autoshrink_ray.config import SearchConfig, merge
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.dispatch import CandidateDispatcher, Dispatcher, SearchDispatcher
from autoshrink_ray.errors import AutoshrinkError, ConfigError, RunError, RunInterruptedError
from autoshrink_ray.executors import WorkOff, executor
from autoshrink_ray.ledger import End, Ledger, next_attempt, read_ledger
from autoshrink_ray.plan import Plan
from autoshrink_ray.results import Run, write_results
from autoshrink_ray.runfile import RunFile, versions
from autoshrink_ray.storage import Folder, is_temporary, join


class RunObserver(Observer):
    """An observer that also hears how a run starts. Base class: does nothing."""

    def on_start(self, run: Run, plan: Plan, data: ProxyData) -> None:
        """The run is about to start or go on; `run` shows what it has found already."""

    def on_evaluation(self, evaluation: Any) -> None:
        """An evaluation is final and in the ledger."""

    def on_decision(self, decision: Any) -> None:
        """A round is closed and its decision in the ledger."""


def run_search(
    config: SearchConfig | None = None, *, observers: Sequence[RunObserver] = (), **changes: Any
) -> Run:
    """Runs a search to its end, or goes on with the run of that name.

    Args:
        config: What to search; None for the defaults.
        observers: Told of everything that is finished.
        **changes: Fields of `SearchConfig` that override `config`; `macro` and `proxy` are merged.

    Returns:
        The finished run.

    Raises:
        UsageError: If the configuration, the data or the storage is wrong, or the name belongs
            to a run with another identity. Nothing was changed.
        RunError: If the run failed; what it finished is in its ledger.
        RunInterruptedError: On SIGINT or SIGTERM; the run can be resumed.
    """
    settings = merge((config or SearchConfig()).model_dump(exclude_unset=True), changes)
    plan = Plan.of(SearchConfig.of(settings))
    plan.searches()  # a space that cannot begin says so before anything is written
    data = plan.load_data()
    Folder(plan.config.storage).check_writable()
    name = plan.config.name or fresh_name(plan.space.name)
    folder = Folder(join(plan.config.storage, name))
    identity = plan.identity(data.fingerprint)
    if RunFile.exists(folder):
        require_same(name, RunFile.read(folder).identity, identity)
        if _says_finished(folder):
            return Run(folder.location)
    else:
        require_free(name, folder)
    with executor(plan.config.executor).ready(plan, data) as work_off:
        if not RunFile.exists(folder):
            _create(folder, name, plan, identity, data)
        for observer in observers:
            observer.on_start(Run(folder.location), plan, data)
        _drive(folder, plan, work_off, observers)
    return Run(folder.location)


def fresh_name(space: str) -> str:
    """A new run's name: space, time, and something unique."""
    return f"{space}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _create(
    folder: Folder, name: str, plan: Plan, identity: dict[str, Any], data: ProxyData
) -> None:
    RunFile(
        name=name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        identity=identity,
        config=plan.config.model_dump(mode="json"),
        data_summary=data.summary,
        versions=versions(),
    ).write(folder)


def require_free(name: str, folder: Folder, ours: Collection[str] = ()) -> None:
    """Checks that a new run takes no folder that holds something else.

    Args:
        name: The run's name.
        folder: Its folder.
        ours: Files that may be there: what a start leaves that dies before it has begun.

    Raises:
        ConfigError: If there is anything else.
    """
    others = [file for file in folder.files() if file not in ours and not is_temporary(file)]
    if others or folder.folders():
        raise ConfigError(f"the name {name!r} belongs to something else: choose another --name")


def require_same(name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Checks that a run goes on as it began.

    Args:
        name: The run's name.
        old: Its identity.
        new: Identity of what was asked for now.

    Raises:
        ConfigError: Naming each difference.
    """
    differences = _differences(old, new)
    if differences:
        raise ConfigError(
            f"the run {name!r} exists with another configuration: {'; '.join(differences)}; "
            f"choose another --name, or give the same configuration to go on with it"
        )


def _says_finished(folder: Folder) -> bool:
    """Whether an earlier attempt finished the run and left everything in place."""
    return any(end.status == "finished" for end in Run(folder.location).ledger.ends.values())


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key} was {before!r}, now {after!r}")
    return found


def _drive(folder: Folder, plan: Plan, work_off: WorkOff, observers: Sequence[RunObserver]) -> None:
    """One driver attempt: replay, work off what is left, leave a readable run behind."""
    contents = read_ledger(folder)
    ledger = Ledger(folder, next_attempt(contents, secrets.token_hex(4)), contents.sources)
    conductor = Conductor(dict(enumerate(plan.searches())), ledger, observers)
    try:
        conductor.replay(contents)
        with interruptible() as caught:
            work_off(_dispatcher(plan, conductor), lambda: bool(caught))
        if not conductor.finished:
            if caught:
                raise RunInterruptedError(caught[-1])
            raise RunError("the executor returned before the run was finished; it can be resumed")
    except RunInterruptedError as error:
        _leave_readable(folder, ledger, End(status="interrupted", message=str(error)))
        raise
    except Exception as error:
        _leave_readable(folder, ledger, End(status="failed", message=told(error)))
        raise
    write_results(folder)
    ledger.append_end(End(status="finished"))


def told(error: Exception) -> str:
    """What a run's record says of an error: ours explains itself, any other one is named, too."""
    return str(error) if isinstance(error, AutoshrinkError) else f"{type(error).__name__}: {error}"


def _leave_readable(folder: Folder, ledger: Ledger, end: End) -> None:
    """As far as the storage still allows; what stopped the run matters more than this."""
    with suppress(AutoshrinkError):
        ledger.append_end(end)
        write_results(folder)


def _dispatcher(plan: Plan, conductor: Conductor) -> Dispatcher:
    if plan.config.granularity == "search":
        return SearchDispatcher(conductor, plan.config.max_retries)
    return CandidateDispatcher(conductor, plan.config.max_retries)


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying of them; a second SIGINT is not caught."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number: int, frame: Any) -> None:
        if caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        caught.append(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
