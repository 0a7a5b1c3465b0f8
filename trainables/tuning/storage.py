"""Where Optuna keeps a study: a journal file, or a database."""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from pyarrow import fs
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from autoshrink_ray.errors import ConfigError, FileFormatError, StorageError
from autoshrink_ray.storage import Folder
from trainables.tuning.objective import Direction

JOURNAL = "optuna.journal"
LOCK = "driver.lock"

STORAGE_FAILURES = (OSError, OptunaError, SQLAlchemyError)
"""What Optuna's storages raise when they cannot be read or written."""

_BEGINNING = b'{"op_code":'
"""How every journal begins."""


@contextmanager
def open_storage(location: str | None, folder: Folder) -> Iterator[BaseStorage]:
    """Opens a storage of studies; a new one is created.

    Args:
        location: Database URL or path of a journal file; None for the journal in `folder`.
        folder: The study's folder.

    Raises:
        ConfigError: If the location has no meaning, or the database's driver is not installed.
        StorageError: If it cannot be read or written.
        FileFormatError: If a file that is no journal is in its place.
    """
    if location is None or "://" not in location:
        yield _journal(Path(location).expanduser() if location else _default(folder))
        return
    database = _database(location)
    try:
        yield database
    finally:
        database.remove_session()
        database.engine.dispose()


def shown(location: str | None, folder: Folder) -> str:
    """The location without a password, as Optuna's dashboard takes it."""
    if location is not None and "://" in location:
        return make_url(location).render_as_string()
    return str(Path(location).expanduser().absolute()) if location else str(_default(folder))


def _default(folder: Folder) -> Path:
    if not isinstance(folder.filesystem, fs.LocalFileSystem):
        raise ConfigError(
            f"a journal is a local file, got the storage {folder.location}: give --study-storage "
            f"a local path, or a database URL such as postgresql://host/database"
        )
    return Path(folder.path, JOURNAL)


def _journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _forget_torn_end(path)
        return JournalStorage(JournalFileBackend(str(path)))
    except (OSError, OptunaError) as error:
        raise StorageError(f"the study storage {path} cannot be used: {error}") from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise FileFormatError(f"{path} is no readable Optuna journal: {error}") from error


def _forget_torn_end(path: Path) -> None:
    """Cuts off a last line that a dying process or a full disk left unfinished.

    Optuna would append to it and could not read the journal any more.
    """
    if not path.exists() or not path.stat().st_size:
        return
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        content = path.read_bytes()
        if not content.startswith(_BEGINNING[: len(content)]):
            raise FileFormatError(f"{path} is no Optuna journal: give another --study-storage")
        if not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


def _database(url: str) -> RDBStorage:
    safe = _checked(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SQLAlchemy and Alembic: nothing for the user
            return RDBStorage(url)
    except ImportError as error:
        raise ConfigError(
            f"the driver of the study storage {safe} is not installed: {error.__cause__ or error}"
        ) from error
    except (*STORAGE_FAILURES, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise StorageError(f"the study storage {safe} cannot be used: {reason}") from error


def _checked(url: str) -> str:
    try:
        parts = make_url(url)
        parts.get_dialect()
    except (SQLAlchemyError, ValueError) as error:
        raise ConfigError(
            f"a study storage is a database URL such as sqlite:///studies.db or "
            f"postgresql://host/database, or the path of a journal file; {error}"
        ) from error
    if parts.get_backend_name() == "sqlite" and parts.database in (None, "", ":memory:"):
        raise ConfigError(
            f"a study storage outlives its study, got {url!r} in memory: give sqlite:///FILE"
        )
    return parts.render_as_string()


@contextmanager
def only_driver(folder: Folder) -> Iterator[None]:
    """Holds a study on a local disk against a second process that would go on with it, too.

    Raises:
        ConfigError: If another process has it.
    """
    if not isinstance(folder.filesystem, fs.LocalFileSystem):
        yield
        return
    path = Path(folder.path, LOCK)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another process is working on the study in {folder.location}: "
                f"wait for it, or choose another --name"
            ) from error
        yield


def open_study(
    storage: BaseStorage,
    name: str,
    directions: Sequence[Direction],
    identity: str,
    *,
    resumed: bool,
) -> optuna.Study:
    """The study called `name`; a new one is created.

    Args:
        storage: Where it is kept.
        name: Its name there.
        directions: One for each objective.
        identity: Digest of everything that can change its numbers.
        resumed: Whether it has to be there.

    Raises:
        ConfigError: If there is a study of that name with another identity, or none although
            there has to be one.
        StorageError: If it cannot be read or written.
    """
    try:
        if resumed and name not in optuna.get_all_study_names(storage):
            raise ConfigError(
                f"the study storage has no study {name!r}: give the --study-storage that it was "
                f"started with"
            )
        study = optuna.create_study(
            storage=storage, study_name=name, directions=directions, load_if_exists=True
        )
        if not study.user_attrs and not study.get_trials(deepcopy=False):
            study.set_user_attr(_IDENTITY, identity)
        found = study.user_attrs.get(_IDENTITY)
    except STORAGE_FAILURES as error:
        raise StorageError(f"the study storage cannot be used: {error}") from error
    if found != identity:
        raise ConfigError(
            f"the study storage holds a study {name!r} with another configuration: "
            f"choose another --name or --study-storage"
        )
    return study


_IDENTITY = "autoshrink_ray_identity"
"""Attribute of a study: what `open_study` compares."""
