"""Starting a run, or going on with one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from autoshrink_ray import files
from autoshrink_ray.cache import EvaluationCache
from autoshrink_ray.conductor import Conductor
from autoshrink_ray.config import SearchConfig, merge
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.drive import Drive
from autoshrink_ray.errors import ConfigError, LedgerError
from autoshrink_ray.executors import executor
from autoshrink_ray.lease import held
from autoshrink_ray.ledger import LedgerContents, MemoryLedger, read_ledger, set_aside
from autoshrink_ray.observing import RunObserver, ending, notify
from autoshrink_ray.plan import Plan
from autoshrink_ray.results import Run
from autoshrink_ray.runfile import RunFile, release, versions
from autoshrink_ray.signals import interruptible
from autoshrink_ray.storage import Folder, is_temporary, join


def run_search(
    config: SearchConfig | None = None,
    *,
    observers: Sequence[RunObserver] = (),
    extend: bool = False,
    **changes: Any,
) -> Run:
    """Runs a search to its end, or goes on with the run of that name.

    Args:
        config: What to search; None for the defaults.
        observers: Told of everything that is finished.
        extend: Whether a run that exists may be given a smaller `keep_fraction` or more `searches`
            than it was started with, and goes on accordingly.
        **changes: Fields of `SearchConfig` that override `config`; `macro` and `proxy` are merged.

    Returns:
        The finished run.

    Raises:
        UsageError: If the configuration, the data or the storage is wrong, or the name belongs
            to a run with another identity. Nothing was changed.
        RunHeldError: If another driver is at work on the run.
        RunError: If the run failed; what it finished is in its ledger.
        RunInterruptedError: On SIGINT or SIGTERM; the run can be resumed.
    """
    settings = merge((config or SearchConfig()).model_dump(exclude_unset=True), changes)
    plan = Plan.of(SearchConfig.of(settings))
    plan.searches()  # a space that cannot begin says so before anything is written
    observers = [*_board(plan, observers), *observers]
    data = plan.load_data()
    for location in filter(None, (plan.config.storage, plan.config.cache)):
        Folder(location).check_writable()
    name = plan.config.name or fresh_name(plan.space.name)
    folder = Folder(join(plan.config.storage, name))
    identity = plan.identity(data.fingerprint)
    old = _earlier(folder, name, identity, extend=extend)
    if extend and old is None:
        raise ConfigError(f"--extend goes on with a run that is there, and {name!r} is none")
    if old is not None and old.identity == identity and _is_complete(folder):
        notify(observers, f"the run {name!r} was finished before: there is nothing left to do")
        return Run(folder.location)
    with (
        interruptible() as caught,
        executor(plan.config.executor).ready(plan, data, partial(notify, observers)) as work_off,
        held(folder, partial(notify, observers), caught) as hold,
    ):
        old = _earlier(folder, name, identity, extend=extend)  # another driver may have been first
        contents = read_ledger(folder)
        if old is not None and old.identity != identity:
            _require_extendable(plan, contents)
        _enter(folder, old, name, plan, identity, data)
        _set_aside_damaged(folder, contents, observers)
        for observer in observers:
            observer.on_start(Run(folder.location), plan, data)
        cache = _cache(plan, identity, contents, partial(notify, observers))
        with ending(observers):
            Drive(folder, plan, observers, hold, caught, cache).run(contents, work_off)
    return Run(folder.location)


def _board(plan: Plan, observers: Sequence[RunObserver]) -> list[RunObserver]:
    """What keeps TensorBoard's files, told before all others."""
    if plan.config.tensorboard == "off":
        return []
    from autoshrink_ray.tensorboard.observer import BoardObserver  # takes a third of a second

    return [BoardObserver(partial(notify, observers))]


def _cache(
    plan: Plan,
    identity: dict[str, Any],
    contents: LedgerContents,
    on_failure: Callable[[str], None],
) -> EvaluationCache | None:
    """The cache, open for the kinds of machines that this run is known to compute on."""
    if plan.config.cache is None:
        return None
    trained = [e.measurement for e in contents.evaluations.values()]
    machines = [(m.device, m.build) for m in trained]
    if _computes_here(plan.config):
        here = plan.task.machine(gpu=plan.config.gpus_per_trial > 0)
        machines += [here] if here else []
    decisive = identity | {"task": plan.space.task, "release": release("autoshrink-ray")}
    return EvaluationCache(Folder(plan.config.cache), decisive, machines, on_failure)


def _computes_here(config: SearchConfig) -> bool:
    """Whether trials run on this machine; a cluster's may be of another kind."""
    joins = config.address is not None or "RAY_ADDRESS" in os.environ
    return config.executor == "in-process" or not joins


def _require_extendable(plan: Plan, contents: LedgerContents) -> None:
    """Checks, before anything is written, that the run so far is the beginning of the longer one.

    Raises:
        ConfigError: If not.
    """
    try:
        Conductor(dict(enumerate(plan.searches())), MemoryLedger()).replay(contents)
    except LedgerError as error:
        raise ConfigError(
            f"the run cannot be extended so, since its first round would have been another one: "
            f"{error}"
        ) from error


def _set_aside_damaged(
    folder: Folder, contents: LedgerContents, observers: Sequence[RunObserver]
) -> None:
    set_aside(folder, contents)
    for damage in contents.damaged:
        notify(
            observers,
            f"ledger object {damage.name} is damaged ({damage.reason}); it is now in "
            f"{files.set_aside_name(damage.name)}, and {contents.consequence(damage)}",
        )


def fresh_name(space: str) -> str:
    """A new run's name: space, time, and something unique."""
    return f"{space}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _earlier(
    folder: Folder, name: str, identity: dict[str, Any], *, extend: bool
) -> RunFile | None:
    """The run's file, if there is a run; it has to be one that may go on with `identity`."""
    if not RunFile.exists(folder):
        require_free(name, folder, ours={files.LEASE})
        return None
    old = RunFile.read(folder)
    require_same(name, old.identity, identity, EXTENSIONS if extend else {})
    return old


def _enter(
    folder: Folder,
    old: RunFile | None,
    name: str,
    plan: Plan,
    identity: dict[str, Any],
    data: ProxyData,
) -> None:
    """Writes the run's file when it starts first, and again when it is extended."""
    if old is not None and old.identity == identity:
        return
    RunFile(
        name=name,
        created=old.created if old else datetime.now(UTC).isoformat(timespec="seconds"),
        identity=identity,
        config=plan.config.model_dump(mode="json"),
        data_summary=data.summary,
        versions=versions(),
    ).write(folder)


EXTENSIONS: dict[str, Callable[[Any, Any], bool]] = {
    "keep_fraction": lambda old, new: new < old,
    "searches": lambda old, new: new > old,
}
"""What a run can be extended by, and in which direction."""


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


def require_same(
    name: str,
    old: dict[str, Any],
    new: dict[str, Any],
    extensions: Mapping[str, Callable[[Any, Any], bool]] | None = None,
) -> None:
    """Checks that a run goes on as it began.

    Args:
        name: The run's name.
        old: Its identity.
        new: Identity of what was asked for now.
        extensions: Keys that may change, and for each whether it may from one value to another.

    Raises:
        ConfigError: Naming each difference.
    """
    extended = {
        key: old[key]
        for key, allowed in (extensions or {}).items()
        if old.get(key) is not None and new.get(key) is not None and allowed(old[key], new[key])
    }
    differences = _differences(old, {**new, **extended})
    if differences:
        raise ConfigError(
            f"the run {name!r} exists with another configuration: {'; '.join(differences)}; "
            f"choose another --name, or give the same configuration to go on with it"
            f"{_EXTEND if any(old.get(key) != new.get(key) for key in EXTENSIONS) else ''}"
        )


_EXTEND = " (--extend lets keep_fraction be smaller and searches more)"


def _is_complete(folder: Folder) -> bool:
    """Whether the run is finished and its last driver left everything in place."""
    run = Run(folder.location)
    intact = not run.ledger.damaged and not run.ledger.lost
    return run.status == "finished" and run.last_end == "finished" and intact


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key} was {before!r}, now {after!r}")
    return found
