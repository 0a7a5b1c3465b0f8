"""Scalars are read back by TensorBoard's own reader, also from files that were written again."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from pyarrow import fs
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from autoshrink_ray.errors import StorageError
from autoshrink_ray.storage import Folder
from autoshrink_ray.tensorboard import ScalarWriter


def shown(place: Path, tag: str = "loss") -> list[tuple[int, float]]:
    """What TensorBoard shows of a log directory."""
    accumulator = EventAccumulator(str(place))
    accumulator.Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def local(place: Path) -> Folder:
    return Folder(str(place))


def remote(place: Path) -> Folder:
    """A filesystem that is not known to be local, on a disk that can be looked at."""
    folder = Folder(str(place))
    root = place.parent
    folder.filesystem = fs.SubTreeFileSystem(str(root), fs.LocalFileSystem())
    folder.path = str(place.relative_to(root))
    return folder


@pytest.mark.parametrize("folder", [local, remote])
def test_scalars_can_be_read_after_each_flush(
    tmp_path: Path, folder: Callable[[Path], Folder]
) -> None:
    writer = ScalarWriter(folder(tmp_path / "logs"))
    for step in range(1, 4):
        writer.add(step, {"loss": step / 4, "learning rate": 0.5})
        writer.flush()
        assert shown(tmp_path / "logs") == [(i, i / 4) for i in range(1, step + 1)]
    assert len(list((tmp_path / "logs").iterdir())) == 1
    assert len(shown(tmp_path / "logs", "learning rate")) == 3


@pytest.mark.parametrize("folder", [local, remote])
def test_a_second_writer_replaces_from_where_it_begins(
    tmp_path: Path, folder: Callable[[Path], Folder]
) -> None:
    for start, steps in enumerate([range(1, 6), range(1, 3), range(3, 5)]):
        writer = ScalarWriter(folder(tmp_path / "logs"))
        writer.name = f"events.out.tfevents.{start:010d}"  # as if seconds had passed
        for step in steps:
            writer.add(step, {"loss": steps.stop})
        writer.flush()
    assert shown(tmp_path / "logs") == [(1, 3), (2, 3), (3, 5), (4, 5)]


def test_steps_that_go_back_replace_what_was_there(tmp_path: Path) -> None:
    writer = ScalarWriter(local(tmp_path))
    for step, value in [(1, 1.0), (2, 2.0), (3, 3.0), (2, 20.0), (3, 30.0)]:
        writer.add(step, {"loss": value})
        writer.flush()
    assert shown(tmp_path) == [(1, 1.0), (2, 20.0), (3, 30.0)]


def test_what_could_not_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = ScalarWriter(remote(tmp_path / "logs"))
    writer.add(1, {"loss": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "_put", full)
        with pytest.raises(StorageError, match="No space left"):
            writer.flush()
    writer.add(2, {"loss": 2.0})
    writer.flush()
    assert shown(tmp_path / "logs") == [(1, 1.0), (2, 2.0)]


def test_what_a_full_disk_cut_off_is_written_again(small_disk: Path) -> None:
    writer = ScalarWriter(local(small_disk / "logs"))
    writer.add(1, {"loss": 1.0})
    writer.flush()
    ballast = small_disk / "ballast"
    with suppress(OSError):
        ballast.write_bytes(bytes(1 << 20))
    writer.add(2, {str(number): 0.5 for number in range(1000)})
    with pytest.raises(StorageError, match="No space left"):
        writer.flush()
    ballast.unlink()
    writer.add(3, {"loss": 3.0})
    writer.flush()
    assert shown(small_disk / "logs") == [(1, 1.0), (3, 3.0)]
    assert len(shown(small_disk / "logs", "999")) == 1


def test_no_torch_is_needed() -> None:
    code = (
        "import sys, autoshrink_ray.tensorboard.observer, autoshrink_ray.tensorboard.server; "
        "assert not {'torch', 'tensorboardX', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
