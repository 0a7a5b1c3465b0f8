"""Files on any filesystem: whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import fs

from autoshrink_ray.errors import StorageError
from autoshrink_ray.storage import Folder, join, resolve


def local_path(path: Path) -> Folder:
    return Folder(str(path / "storage"))


def file_uri(path: Path) -> Folder:
    return Folder((path / "storage").as_uri())


def another_filesystem(path: Path) -> Folder:
    """Not pyarrow's class for local files: what HDFS and others go through."""
    folder = Folder(str(path / "storage"))
    folder.filesystem = fs.SubTreeFileSystem(str(path), fs.LocalFileSystem())
    folder.path = "storage"
    return folder


def memory(path: Path) -> Folder:
    return Folder("mock:///storage")


@pytest.fixture(params=[local_path, file_uri, another_filesystem, memory])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    made: Folder = request.param(tmp_path)
    return made


# What every filesystem does


def test_what_was_written_is_read(folder: Folder) -> None:
    content = bytes(range(256)) * 100
    assert not folder.exists("a/b/c.bin")
    folder.write("a/b/c.bin", content)
    assert folder.exists("a/b/c.bin")
    assert folder.read("a/b/c.bin") == content
    folder.write("a/b/c.bin", b"")
    assert folder.read("a/b/c.bin") == b""


def test_files_and_folders_are_listed_in_order(folder: Folder) -> None:
    for name in ("b.json", "a.json", "two/c.json", "one/deep/d.json"):
        folder.write(name, b"{}")
    assert list(folder.files()) == ["a.json", "b.json"]
    assert list(folder.files(recursive=True)) == [
        "a.json",
        "b.json",
        "one/deep/d.json",
        "two/c.json",
    ]
    assert list(folder.files("one", recursive=True)) == ["one/deep/d.json"]
    assert folder.folders() == ["one", "two"]
    assert folder.folders("one") == ["deep"]


def test_a_folder_need_not_exist(folder: Folder) -> None:
    assert not folder.exists()
    assert list(folder.files(recursive=True)) == []
    assert folder.folders("nowhere") == []


def test_a_missing_file_cannot_be_read(folder: Folder) -> None:
    with pytest.raises(StorageError, match=r"cannot read .*missing\.json"):
        folder.read("missing.json")


def test_deleting_takes_everything(folder: Folder) -> None:
    folder.write("one/a.json", b"{}")
    folder.delete()
    assert not folder.exists("one/a.json")
    assert not folder.exists()
    with pytest.raises(StorageError, match=r"cannot delete .*storage"):
        folder.delete()


def test_checking_for_writing_leaves_nothing_behind(folder: Folder) -> None:
    folder.check_writable()
    assert list(folder.files(recursive=True)) == []


# A write that fails


class Refuses:
    """A filesystem on which one operation goes wrong."""

    def __init__(self, filesystem: fs.FileSystem, operation: str, error: Exception) -> None:
        self._filesystem = filesystem
        self._operation = operation
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return self._refuse if name == self._operation else getattr(self._filesystem, name)

    def _refuse(self, *arguments: Any, **named: Any) -> Any:
        raise self._error


class Truncates(Refuses):
    """A disk that is full after the first bytes of a file."""

    def __init__(self, filesystem: fs.FileSystem) -> None:
        super().__init__(filesystem, "open_output_stream", OSError("no space left on device"))

    def _refuse(self, *arguments: Any, **named: Any) -> Any:
        with self._filesystem.open_output_stream(*arguments) as stream:
            stream.write(b"the first byt")
        raise self._error


@pytest.mark.parametrize("operation", ["create_dir", "open_output_stream", "move"])
@pytest.mark.parametrize("error", [OSError("gone"), pa.ArrowInvalid("gone")])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, operation: str, error: Exception
) -> None:
    folder = local_path(tmp_path)
    folder.write("a.json", b"old")
    folder.filesystem = Refuses(folder.filesystem, operation, error)
    with pytest.raises(StorageError, match=r"cannot write .*/a\.json: gone"):
        folder.write("a.json", b"new")
    assert local_path(tmp_path).read("a.json") == b"old"
    assert [path.name for path in (tmp_path / "storage").iterdir()] == ["a.json"]


def test_a_disk_that_fills_up_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    folder = local_path(tmp_path)
    folder.write("a.json", b"old")
    folder.filesystem = Truncates(folder.filesystem)
    with pytest.raises(StorageError, match=r"cannot write .*/a\.json: no space left on device"):
        folder.write("a.json", b"new and long")
    assert local_path(tmp_path).read("a.json") == b"old"
    assert [path.name for path in (tmp_path / "storage").iterdir()] == ["a.json"]


def test_on_an_object_store_an_object_is_put_and_nothing_renamed(tmp_path: Path) -> None:
    class ObjectStore(Refuses):
        type_name = "s3"

    folder = local_path(tmp_path)
    folder.check_writable()
    folder.filesystem = ObjectStore(folder.filesystem, "move", AssertionError("no rename"))
    folder.write("a.json", b"{}")
    assert folder.read("a.json") == b"{}"


def test_storage_that_forgets_is_not_writable(tmp_path: Path) -> None:
    folder = local_path(tmp_path)
    folder.read = lambda name: b"something else"  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="does not give back what was written to it"):
        folder.check_writable()


def test_storage_that_cannot_delete_is_not_writable(tmp_path: Path) -> None:
    folder = local_path(tmp_path)
    folder.filesystem = Refuses(folder.filesystem, "delete_file", OSError("write once"))
    with pytest.raises(StorageError, match=r"cannot delete .*: write once"):
        folder.check_writable()


# Places that cannot be


@pytest.mark.parametrize("form", [str, Path.as_uri])
def test_a_place_below_a_regular_file_is_not_writable(tmp_path: Path, form: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = Folder(form(tmp_path / "file" / "runs"))
    with pytest.raises(StorageError, match=r"cannot write .*file/runs"):
        folder.check_writable()
    with pytest.raises(StorageError, match=r"cannot list .*file"):
        Folder(form(tmp_path / "file")).folders()


@pytest.mark.parametrize(
    "location", ["ftp://host/runs", "://runs", "file://somewhere/runs", "s3:///runs", "~no-one/x"]
)
def test_a_location_that_is_none_is_refused_with_examples(location: str) -> None:
    with pytest.raises(StorageError) as caught:
        Folder(location)
    message = str(caught.value)
    assert "a storage location is a local path or a URI such as s3://bucket/folder" in message
    assert f"got {location!r}" in message


@pytest.mark.parametrize("location", ["s3://", "\0"])
def test_a_location_that_only_the_filesystem_refuses(location: str) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        Folder(location).check_writable()


# Names


@pytest.mark.parametrize(
    ("location", "joined"),
    [
        ("runs", "runs/a/b"),
        ("/data/runs/", "/data/runs/a/b"),
        ("/", "/a/b"),
        ("/why?/runs", "/why?/runs/a/b"),
        ("s3://bucket/runs", "s3://bucket/runs/a/b"),
        ("s3://bucket/runs/?region=eu-1", "s3://bucket/runs/a/b?region=eu-1"),
    ],
)
def test_join_works_for_paths_and_uris(location: str, joined: str) -> None:
    assert join(location, "a", "b") == joined


def test_a_child_is_the_same_folder_from_wherever_it_is_named(tmp_path: Path) -> None:
    for folder in (local_path(tmp_path), file_uri(tmp_path), Folder(str(tmp_path / "why?"))):
        folder.child("one").write("a.json", b"{}")
        assert folder.read("one/a.json") == b"{}"


def test_relative_paths_and_homes_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Folder("runs").location == str(tmp_path / "runs")
    assert resolve("~/runs")[1] == str(tmp_path / "home" / "runs")
    assert resolve((tmp_path / "with blank").as_uri())[1] == str(tmp_path / "with blank")
