"""A mirror shows what is elsewhere, and a file that grew only gains what it lacked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray import Run, run_search
from autoshrink_ray.ledger import LedgerContents
from autoshrink_ray.storage import Folder
from autoshrink_ray.tensorboard import ScalarWriter
from autoshrink_ray.tensorboard.board import Board
from autoshrink_ray.tensorboard.events import PREFIX
from autoshrink_ray.tensorboard.mirror import Mirror
from tests.core.boards import log, shown
from tests.core.processes import table
from tests.core.test_tensorboard import remote
from tests.core.test_tensorboard import shown as losses

NAMES = st.sampled_from(["a/events.out.tfevents.1", "a/b/events.out.tfevents.2", "c/notes.txt"])


@given(st.lists(st.dictionaries(NAMES, st.binary(max_size=4)), max_size=4))
def test_event_files_are_the_same_after_each_refresh(
    tmp_path_factory: pytest.TempPathFactory, states: list[dict[str, bytes]]
) -> None:
    """By their sizes: a file of one name only ever grows."""
    place = tmp_path_factory.mktemp("mirror")
    source, target = place / "source", place / "target"
    mirror = Mirror(Folder(str(source)), target)
    for state in states:
        folder = Folder(str(source))
        for name in folder.files(recursive=True):
            folder.remove(name)
        for name, content in state.items():
            folder.write(name, content)
        mirror.refresh()
        there = {
            str(path.relative_to(target)): path.stat().st_size
            for path in target.rglob("*")
            if path.is_file()
        }
        assert there == {n: len(c) for n, c in state.items() if not n.endswith(".txt")}


def test_tensorboard_goes_on_where_it_was_when_a_file_has_grown(tmp_path: Path) -> None:
    writer = ScalarWriter(remote(tmp_path / "there"))
    mirror = Mirror(remote(tmp_path / "there"), tmp_path / "here")
    for step in range(1, 4):
        writer.add(step, {"loss": float(step)})
        writer.flush()
        mirror.refresh()
        (path,) = (tmp_path / "here").iterdir()
        if step == 1:
            inode = path.stat().st_ino
        assert path.stat().st_ino == inode
        assert losses(tmp_path / "here") == [(i, float(i)) for i in range(1, step + 1)]


def test_a_file_that_goes_while_it_is_looked_at_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that goes on deletes files, those of candidates that fell behind and its own old."""
    source, read = Folder(str(tmp_path / "there")), Folder.read
    for number in range(3):
        source.write(f"a/{PREFIX}{number}", b"content")

    def racing(self: Folder, name: str) -> bytes:
        if name.endswith("1"):
            self.remove(name)
        return read(self, name)

    monkeypatch.setattr(Folder, "read", racing)
    Mirror(source, tmp_path / "here").refresh()
    here = {path.name for path in (tmp_path / "here" / "a").iterdir()}
    assert here == {f"{PREFIX}0", f"{PREFIX}2"}


def test_elsewhere_a_search_is_put_whole_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search without training ends long before the time of a second put has come."""
    run = run_search(table(tmp_path))
    puts: list[str] = []
    write = Folder.write

    def noted(self: Folder, name: str, content: bytes) -> None:
        puts.append(self.path.rpartition("/")[2] if name.startswith("events") else name)
        write(self, name, content)

    monkeypatch.setattr(Folder, "write", noted)
    elsewhere = Folder(str(tmp_path / "elsewhere"))
    monkeypatch.setattr(Folder, "child", lambda self, name: remote(Path(self.path, name)))
    empty = run.with_ledger(LedgerContents())
    streams = Board(empty, elsewhere, full=True)
    streams.start()
    for (search, number), decision in run.ledger.decisions.items():
        for place, evaluation in run.ledger.evaluations.items():
            if place[:2] == (search, number):
                streams.evaluation(evaluation)
        streams.decision(decision)
    streams.end()
    assert puts.count("search") == 3, "at the start, after the last round and at the end"
    assert shown(tmp_path / "elsewhere") == shown(log(Run(run.folder.location)))
