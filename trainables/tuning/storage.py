"""Where Optuna keeps a study: a journal file, or a database."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from urllib.parse import quote_plus

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState
from pyarrow import fs
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from autoshrink_ray.errors import ConfigError, StorageError, choices
from autoshrink_ray.storage import Folder
from trainables.tuning.journal import open_journal
from trainables.tuning.objective import Direction

JOURNAL = "optuna.journal"

STORAGE_FAILURES = (OSError, OptunaError, SQLAlchemyError, JSONDecodeError)
"""What Optuna's storages raise when they cannot be read or written."""

_SECRET = re.compile("pass|pwd|secret|token|odbc_connect", re.IGNORECASE)
"""Parameters of a URL that may be, or hold, a password."""


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
        yield open_journal(Path(location).expanduser() if location else _default(folder))
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
        return _without_secrets(make_url(location))
    return str(Path(location).expanduser().absolute()) if location else str(_default(folder))


def _without_secrets(url: URL) -> str:
    """The URL with asterisks for passwords, those among its parameters included."""
    hidden = {name: "***" for name in url.query if _SECRET.search(name)}
    text = url.update_query_dict(hidden).render_as_string() if hidden else url.render_as_string()
    return text.replace(quote_plus("***"), "***")


def _default(folder: Folder) -> Path:
    if not isinstance(folder.filesystem, fs.LocalFileSystem):
        raise ConfigError(
            f"a journal is a local file, got the storage {folder.location}: give --study-storage "
            f"a local path, or a database URL such as postgresql://host/database"
        )
    return Path(folder.path, JOURNAL)


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
    except (*STORAGE_FAILURES, RuntimeError, ValueError, TypeError) as error:
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
    safe = _without_secrets(parts)
    if parts.get_backend_name() == "sqlite" and parts.database in (None, "", ":memory:"):
        raise ConfigError(
            f"a study storage outlives its study, got {safe!r} in memory: give sqlite:///FILE"
        )
    return safe


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
        ConfigError: If there is a study of that name with another identity or directions, or
            another process's whose trials are running, or none although there has to be one.
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
        _require_same_directions(study, directions)
        if not study.user_attrs and not study.get_trials(deepcopy=False):
            study.set_user_attr(_IDENTITY, identity)
        found = study.user_attrs.get(_IDENTITY)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    except STORAGE_FAILURES as error:
        raise StorageError(f"the study storage cannot be used: {error}") from error
    if found != identity:
        raise ConfigError(
            f"the study storage holds a study {name!r} with another configuration: "
            f"choose another --name or --study-storage"
        )
    if running and not resumed:
        raise ConfigError(
            f"the study storage holds a study {name!r} with {len(running)} running trials, begun "
            f"in another --storage: go on with it there, or choose another --name"
        )
    return study


def _require_same_directions(study: optuna.Study, directions: Sequence[Direction]) -> None:
    found = [direction.name.lower() for direction in study.directions]
    if found != list(directions):
        raise ConfigError(
            f"the study storage holds a study {study.study_name!r} with another configuration, to "
            f"{choices(found)} instead of {choices(directions)}: choose another --name or "
            f"--study-storage"
        )


_IDENTITY = "autoshrink_ray_identity"
"""Attribute of a study: what `open_study` compares."""
