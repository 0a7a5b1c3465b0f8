"""Optuna's storages: journals that were torn, databases that are not there, other studies."""

from __future__ import annotations

import resource
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from autoshrink_ray.errors import ConfigError, FileFormatError, StorageError
from autoshrink_ray.storage import Folder
from trainables.tuning.storage import JOURNAL, open_storage, open_study, shown


def filled(storage: BaseStorage, trials: int) -> optuna.Study:
    is_there = "study" in optuna.get_all_study_names(storage)
    study = open_study(storage, "study", ["maximize"], "identity", resumed=is_there)
    add(study, trials)
    return study


def add(study: optuna.Study, trials: int) -> None:
    for number in range(trials):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        study.tell(trial, number)


def values(path: Path) -> list[float]:
    storage = JournalStorage(JournalFileBackend(str(path)))
    study = optuna.load_study(study_name="study", storage=storage)
    return [trial.values[0] for trial in study.trials if trial.values]


def test_a_study_is_in_its_folder_by_default(tmp_path: Path) -> None:
    with open_storage(None, Folder(str(tmp_path))) as storage:
        filled(storage, 3)
    assert values(tmp_path / JOURNAL) == [0, 1, 2]
    assert shown(None, Folder(str(tmp_path))) == str(tmp_path / JOURNAL)


@pytest.mark.parametrize("form", ["sqlite:///{}/x.db", "{}/deeper/x.journal"])
def test_a_study_is_where_it_is_wanted(tmp_path: Path, form: str) -> None:
    location = form.format(tmp_path)
    for _ in range(2):
        with open_storage(location, Folder("mock:///elsewhere")) as storage:
            found = optuna.get_all_study_names(storage)
            study = filled(storage, 2)
    assert found == ["study"]
    assert len(study.trials) == 4


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_a_journal_whose_last_line_is_torn_goes_on_without_it(tmp_path: Path, cut: int) -> None:
    path = tmp_path / JOURNAL
    with open_storage(None, Folder(str(tmp_path))) as storage:
        filled(storage, 3)
    path.write_bytes(path.read_bytes()[:-cut])
    with open_storage(None, Folder(str(tmp_path))) as storage:
        filled(storage, 2)
    assert values(path) == [0, 1, 0, 1]


@pytest.mark.parametrize("room", [100, 300, 700])
def test_a_journal_survives_a_disk_that_is_full_for_a_moment(small_disk: Path, room: int) -> None:
    path = small_disk / JOURNAL
    with open_storage(None, Folder(str(small_disk))) as storage:
        study = filled(storage, 2)
        page = resource.getpagesize()  # a tmpfs gives memory in pages
        while path.stat().st_size % page < page - room:
            study.set_user_attr("filling", "x" * 10)
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(2**20))
        with pytest.raises(OSError, match="No space left"):
            add(study, 9)
        assert path.read_bytes().endswith(b"\n")
        filler.unlink()
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
        before = len(values(path))
        filled(storage, 2)
    assert values(path)[before:] == [0, 1]


@pytest.mark.parametrize("content", ["hello", "hello\nworld\n", '{"op_code":99}\n', "{}\n"])
def test_a_file_that_is_no_journal_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with (
        pytest.raises(FileFormatError, match=r"notes\.txt is no .*journal"),
        open_storage(str(path), Folder(str(tmp_path))),
    ):
        pass
    assert path.read_text() == content


@pytest.mark.parametrize(
    ("location", "kind", "message"),
    [
        ("sqlite:////no/such/folder/x.db", StorageError, "unable to open database file"),
        ("sqlite://", ConfigError, "outlives its study, got 'sqlite://' in memory"),
        ("sqlite:///:memory:", ConfigError, "outlives its study"),
        ("nodb://host/x", ConfigError, "a study storage is a database URL such as sqlite:///"),
        ("foo://a:b:c", ConfigError, "a study storage is a database URL"),
        ("/proc/nothing/x.journal", StorageError, "/proc/nothing/x.journal cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused(
    tmp_path: Path, location: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message), open_storage(location, Folder(str(tmp_path))):
        pass


@pytest.mark.parametrize(
    "location",
    [
        "postgresql+pg8000://me:secret@localhost:1/x",
        "postgresql+pg8000://localhost:1/x?user=me&password=secret",
        "postgresql+pg8000://localhost:1/x?user=me&Password=a&Password=secret",
        "postgresql://localhost:1/x?sslpassword=secret&sslmode=require",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dsecret",
        "sqlite:///:memory:?password=secret",
    ],
)
def test_a_password_is_shown_nowhere(
    tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Folder(str(tmp_path))
    assert "secret" not in shown(location, folder)
    assert "***" in shown(location, folder)
    with pytest.raises((ConfigError, StorageError)) as caught, open_storage(location, folder):
        pass
    assert "secret" not in str(caught.value)


def test_a_journal_is_on_a_local_disk() -> None:
    folder = Folder("mock:///runs")
    with (
        pytest.raises(ConfigError, match=r"a journal is a local file, got .*mock:///runs"),
        open_storage(None, folder),
    ):
        pass


def test_a_study_of_another_configuration_is_refused(tmp_path: Path) -> None:
    with open_storage(None, Folder(str(tmp_path))) as storage:
        filled(storage, 1)
        with pytest.raises(ConfigError, match="holds a study 'study' with another configuration"):
            open_study(storage, "study", ["maximize"], "changed", resumed=True)


def test_a_foreign_study_of_the_same_name_is_refused(tmp_path: Path) -> None:
    with open_storage(None, Folder(str(tmp_path))) as storage:
        foreign = optuna.create_study(storage=storage, study_name="study")
        foreign.tell(foreign.ask(), 1.0)
        with pytest.raises(ConfigError, match="with another configuration"):
            open_study(storage, "study", ["maximize"], "identity", resumed=False)


def test_an_empty_study_with_another_direction_is_refused(tmp_path: Path) -> None:
    with open_storage(None, Folder(str(tmp_path))) as storage:
        optuna.create_study(storage=storage, study_name="study", direction="minimize")
        message = "another configuration, to minimize instead of maximize, minimize"
        with pytest.raises(ConfigError, match=message):
            open_study(storage, "study", ["maximize", "minimize"], "identity", resumed=False)
        optuna.create_study(storage=storage, study_name="same", direction="maximize")
        assert open_study(storage, "same", ["maximize"], "identity", resumed=False)


def test_a_study_that_runs_elsewhere_is_refused(tmp_path: Path) -> None:
    with open_storage(None, Folder(str(tmp_path))) as storage:
        filled(storage, 1).ask()
        with pytest.raises(ConfigError, match="with 1 running trials, begun in another --storage"):
            open_study(storage, "study", ["maximize"], "identity", resumed=False)
        assert open_study(storage, "study", ["maximize"], "identity", resumed=True)


def test_a_study_that_is_gone_is_not_begun_again(tmp_path: Path) -> None:
    with (
        open_storage(None, Folder(str(tmp_path))) as storage,
        pytest.raises(ConfigError, match="has no study 'study': give the --study-storage"),
    ):
        open_study(storage, "study", ["maximize"], "identity", resumed=True)
