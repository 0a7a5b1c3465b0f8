"""What goes wrong with a search's streams stays with them, and is made good where it can be."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from autoshrink_ray import Run
from autoshrink_ray import run_search as search
from autoshrink_ray.errors import StorageError
from autoshrink_ray.ledger import LedgerContents
from autoshrink_ray.storage import Folder
from autoshrink_ray.tensorboard import board as board_module
from autoshrink_ray.tensorboard import figures, tags
from autoshrink_ray.tensorboard import timer as timer_module
from autoshrink_ray.tensorboard.board import Board
from autoshrink_ray.tensorboard.events import EventFile, encoded
from autoshrink_ray.tensorboard.several import discard, each
from autoshrink_ray.tensorboard.timer import Timer
from tests.core.boards import log, pictures, rows, scalars, shown, streams
from tests.core.processes import table
from tests.core.runs import Notes, decisions, interrupted, killed


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search that nothing disturbed."""
    return search(table(tmp_path_factory.mktemp("whole")))


def gone(*arguments: object, **more: object) -> Any:
    raise StorageError("the storage is gone")


def told(notes: Notes) -> str:
    (notice,) = notes.notices
    return notice


def test_a_ledger_that_cannot_be_read_for_the_streams_does_not_stop_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Run
) -> None:
    notes = Notes()
    monkeypatch.setattr(Board, "__init__", gone)
    run = search(table(tmp_path), observers=[notes])
    assert decisions(run) == decisions(whole)
    assert "the storage is gone" in told(notes)


@pytest.mark.parametrize("what", ["sizes", "files", "write", "remove"])
def test_a_start_that_failed_is_made_good_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Run, what: str
) -> None:
    config = table(tmp_path)
    killed(config, 5)
    begin = Board.start
    calls = iter(range(10))

    def start(self: Board) -> None:
        with monkeypatch.context() as patch:
            if next(calls) == 0:
                patch.setattr(Folder, what, gone)
            begin(self)

    monkeypatch.setattr(Board, "start", start)
    run = search(config)
    assert shown(log(run)) == shown(log(whole))
    assert len(list((log(run) / "search").iterdir())) == 1


def test_a_figure_that_cannot_be_drawn_keeps_nothing_else_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Run
) -> None:
    def broken(*arguments: object) -> None:
        raise ValueError("no font")

    monkeypatch.setattr(figures, "importance", broken)
    monkeypatch.setattr(board_module, "_DRAW", 0.0)
    notes = Notes()
    run = search(table(tmp_path), observers=[notes])
    assert "ValueError: no font" in told(notes)
    stream, other = streams(log(run))["search"], streams(log(whole))["search"]
    assert scalars(stream).keys() == scalars(other).keys()
    assert pictures(stream)[tags.CELL] == pictures(other)[tags.CELL]
    assert rows(log(run)) == rows(log(whole))


def test_a_file_that_was_deleted_is_not_made_again_in_part(tmp_path: Path, whole: Run) -> None:
    """It would begin with a hole, or stand beside that of a driver that has taken over."""
    config = table(tmp_path)

    def delete() -> None:
        for path in (log(Run("run", str(tmp_path))) / "search").iterdir():
            path.unlink()

    notes = Notes(5, delete)
    run = search(config, observers=[notes])
    assert decisions(run) == decisions(whole)
    assert "was deleted by somebody else" in told(notes)
    assert list((log(run) / "search").iterdir()) == []


@pytest.mark.parametrize("stop", [killed, interrupted])
@pytest.mark.parametrize("at", [2, 9, 20])
def test_several_searches_that_were_stopped_show_what_undisturbed_ones_do(
    tmp_path: Path, at: int, stop: Any
) -> None:
    config = table(tmp_path, searches=2)
    undisturbed = search(config, name="undisturbed")
    stop(config, at)
    assert shown(log(search(config))) == shown(log(undisturbed))


def test_a_decision_that_was_lost_is_shown_in_its_place(tmp_path: Path, whole: Run) -> None:
    config = table(tmp_path)
    run = search(config)
    (lost,) = Path(run.folder.path).rglob("round-002-decision.json")
    lost.unlink()
    assert shown(log(search(config))) == shown(log(whole))


def test_a_round_without_evaluations_has_the_time_of_the_one_before(
    tmp_path: Path, whole: Run
) -> None:
    ledger = whole.ledger
    kept = {place: e for place, e in ledger.evaluations.items() if place[1] != 2}
    lossy = whole.with_ledger(LedgerContents(evaluations=kept, decisions=ledger.decisions))
    board = Board(lossy, Folder(str(tmp_path)), full=True)
    board.start()
    board.end()
    best = streams(tmp_path)["search"].Scalars(tags.BEST_SCORE)
    assert [event.step for event in best] == [d.round for d in decisions(whole)]
    assert best[1].wall_time == best[0].wall_time


def test_a_candidate_that_was_evaluated_again_is_shown_once(tmp_path: Path, whole: Run) -> None:
    (first, *_) = whole.ledger.evaluations.values()
    again = first.model_copy(update={"ended": first.ended + 10})
    board = Board(whole, Folder(str(tmp_path)), full=True)
    for evaluation in (first, again):
        names = board._rows._streams
        place = tmp_path / names.name(evaluation)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(names.content(evaluation))
    (stream,) = streams(tmp_path).values()
    assert [step for step, _ in scalars(stream)["curve/accuracy"]] == list(
        range(1, len(first.measurement.curve) + 1)
    )


def test_after_a_failure_nothing_more_is_begun() -> None:
    begun, failed = [], threading.Event()

    def fail(number: int) -> None:
        begun.append(number)
        if number:
            failed.wait(10)
            return
        failed.set()
        raise StorageError("no answer")

    with pytest.raises(StorageError, match="no answer"):
        each(fail, range(1000))
    assert len(begun) < 1000


def test_what_is_gone_already_need_not_be_deleted(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    folder.write("there", b"")
    for _ in range(2):
        discard(folder, "there")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="cannot delete"):
        discard(folder, "folder")


@pytest.mark.parametrize(
    ("took", "quick", "next_after"), [(0.01, True, 5), (1, False, 20), (60, False, 1200)]
)
def test_what_takes_long_is_done_seldom(
    monkeypatch: pytest.MonkeyPatch, took: float, quick: bool, next_after: float
) -> None:
    now = [1000.0]
    monkeypatch.setattr(timer_module.time, "monotonic", lambda: now[0])
    timer = Timer(5)
    assert timer.is_quick
    with suppress(StorageError), timer.measured():
        now[0] += took
        raise StorageError("no answer")
    assert timer.is_quick == quick
    for after, due in ((0.0, False), (next_after - 0.001, False), (next_after + 0.001, True)):
        now[0] = 1000 + took + after
        assert timer.is_due == due


def test_on_a_storage_that_is_slow_rounds_do_not_wait_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Run
) -> None:
    """Candidates' files are written as the first round ends, and then not before the end."""
    write, clock, notes = Folder.write, [0.0], Notes()
    rounds: set[int] = set()

    def slow(self: Folder, name: str, content: bytes) -> None:
        if "candidate-" in name and "tfevents" in name:
            clock[0] += 10
            rounds.add(len(notes.heard) - len(notes.evaluations))
        write(self, name, content)

    monkeypatch.setattr(Folder, "write", slow)
    monkeypatch.setattr(timer_module.time, "monotonic", lambda: clock[0])
    run = search(table(tmp_path), observers=[notes])
    assert rounds == {1, len(decisions(run))}
    assert shown(log(run)) == shown(log(whole))


def test_a_file_that_was_never_written_is_not_gone(tmp_path: Path) -> None:
    file = EventFile(Folder(str(tmp_path)))
    assert not file.is_gone
    file.flush()
    assert not file.is_gone
    (tmp_path / file.name).unlink()
    assert file.is_gone
    assert encoded([]) == b""
    assert EventAccumulator(str(tmp_path)).Reload().Tags()["scalars"] == []
