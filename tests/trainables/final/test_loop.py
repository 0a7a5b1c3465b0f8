"""A training comes to the same end however often it is stopped, and back from NaN."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from autoshrink_ray.errors import RunError
from autoshrink_ray.storage import Folder
from tests.trainables.final.processes import in_processes
from tests.trainables.final.regression import Death, Notes, Regression, die
from trainables.final.checkpoints import Checkpoints
from trainables.final.contracts import World
from trainables.final.loop import Released, Rules, TrainingLoop

DIVERGES: dict[str, Any] = {"epochs": 8, "bad": frozenset({(5, 0), (6, 1)}), "worse_after": 4}


def checkpoints(place: Path) -> Checkpoints:
    return Checkpoints(Folder(str(place)), "accuracy")


def run(
    place: Path, notes: Notes | None = None, rules: Rules | None = None, **made: Any
) -> Released:
    """Trains in `place` to the end."""
    begin = partial(Regression, **made)
    return TrainingLoop(begin, checkpoints(place), rules or Rules(), notes or Notes()).run()


def killed(place: Path, after: int, **arguments: Any) -> None:
    """Trains until it has told of `after` epochs, and dies without a word."""
    with pytest.raises(Death):
        run(place, Notes(after, die), **arguments)


def plain(epochs: int = 6) -> dict[str, Tensor]:
    """The slow reference: no loop, no files."""
    training = Regression(epochs)
    for _ in range(epochs):
        training.run_epoch(0)
    return training.weights()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_the_loop_trains_as_one_would_by_hand(tmp_path: Path) -> None:
    notes = Notes()
    released = run(tmp_path, notes)
    assert same(released.weights, plain())
    assert [record["epoch"] for record in notes.records] == [1, 2, 3, 4, 5, 6]
    assert released.record == notes.records[-1]
    assert {"seconds", "attempt", "accuracy", "loss"} <= released.record.keys()


@pytest.mark.parametrize("every", [1, 2, 4])
@pytest.mark.parametrize("after", range(1, 7))
def test_wherever_it_is_killed_it_ends_the_same(tmp_path: Path, after: int, every: int) -> None:
    rules = Rules(checkpoint_every=every)
    killed(tmp_path, after, rules=rules)
    notes = Notes()
    assert same(run(tmp_path, notes, rules).weights, plain())
    first_again = after // every * every + 1 if after < 6 else 7
    assert [record["epoch"] for record in notes.records] == list(range(first_again, 7))


def test_killed_in_each_epoch_it_ends_the_same(tmp_path: Path) -> None:
    for _ in range(6):
        killed(tmp_path, 1)
    assert same(run(tmp_path).weights, plain())
    history = checkpoints(tmp_path).history()
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5, 6]


def test_a_damaged_checkpoint_costs_an_epoch_and_no_bit(tmp_path: Path) -> None:
    killed(tmp_path, 4)
    (tmp_path / "epoch-00004.safetensors").write_bytes(b"")
    assert same(run(tmp_path).weights, plain())


def test_the_last_epoch_always_has_a_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, rules=Rules(checkpoint_every=4))
    latest = checkpoints(tmp_path).latest()
    assert latest is not None
    assert latest.manifest.epoch == 6
    assert len(latest.manifest.history) == 6


def test_divergence_puts_it_back_to_the_best_checkpoint(tmp_path: Path) -> None:
    notes = Notes()
    released = run(tmp_path, notes, Rules(rollbacks=2), **DIVERGES)
    lived = [(record["epoch"], record["attempt"]) for record in notes.records]
    # 5 diverges: back to 4. Again 5; 6 diverges: the best is still 4.
    assert lived == [(1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (5, 2), (6, 2), (7, 2), (8, 2)]
    assert "diverged in epoch 5: training loss nan: it goes back to epoch 4" in notes.texts[0]
    assert len(notes.texts) == 2
    history = checkpoints(tmp_path).history()
    assert [r["attempt"] for r in history] == [0, 0, 0, 0, 2, 2, 2, 2]
    by_hand = Regression(8)
    for attempt in (0, 0, 0, 0, 2, 2, 2, 2):
        by_hand.run_epoch(attempt)
    assert same(released.weights, by_hand.weights())


@pytest.mark.parametrize("after", range(1, 9))
def test_killed_around_a_divergence_it_ends_the_same(tmp_path: Path, after: int) -> None:
    rules = Rules(rollbacks=2)
    expected = run(tmp_path / "whole", rules=rules, **DIVERGES)
    killed(tmp_path / "cut", after, rules=rules, **DIVERGES)
    again = run(tmp_path / "cut", rules=rules, **DIVERGES)
    assert same(again.weights, expected.weights)
    assert again.record | {"seconds": 0} == expected.record | {"seconds": 0}


def test_without_a_checkpoint_it_is_put_back_to_the_beginning(tmp_path: Path) -> None:
    released = run(tmp_path, rules=Rules(rollbacks=1), epochs=2, bad=frozenset({(1, 0)}))
    by_hand = Regression(2)
    by_hand.run_epoch(1)
    by_hand.run_epoch(1)
    assert same(released.weights, by_hand.weights())


@pytest.mark.parametrize("rollbacks", [0, 1, 3])
def test_one_that_always_diverges_gives_up_in_the_end(tmp_path: Path, rollbacks: int) -> None:
    bad = frozenset((3, attempt) for attempt in range(10))
    notes = Notes()
    with pytest.raises(RunError, match=rf"put back {rollbacks} times.* rollbacks {rollbacks}"):
        run(tmp_path, notes, Rules(rollbacks=rollbacks), bad=bad)
    assert len(notes.texts) == rollbacks
    latest = checkpoints(tmp_path).latest()
    assert latest is not None
    assert latest.manifest.epoch == 2


@pytest.mark.parametrize(("release", "epoch"), [("last", 6), ("best", 3)])
def test_the_last_or_the_best_weights_are_released(
    tmp_path: Path, release: Any, epoch: int
) -> None:
    rules = Rules(release=release)
    released = run(tmp_path, rules=rules, worse_after=3)
    assert released.record["epoch"] == epoch
    assert same(released.weights, plain(epoch))
    again = run(tmp_path, rules=rules, worse_after=3)  # finished, but its weights never written
    assert same(again.weights, released.weights)


def test_a_full_disk_ends_the_run_and_the_previous_checkpoint_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Folder._put

    def full(self: Folder, path: str, content: bytes) -> None:
        put(self, path, content[: len(content) // 2])
        if "epoch-00003" in path:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "_put", full)
        with pytest.raises(RunError, match=r"epoch 3 has no checkpoint.* No space left") as caught:
            run(tmp_path)
    assert caught.value.exit_code == 1
    notes = Notes()
    assert same(run(tmp_path, notes).weights, plain())
    assert notes.records[0]["epoch"] == 3


def together(world: World, folder: Path) -> None:
    """One of two processes; the second reads only what the first has written."""
    first_half = {"epochs": 4}
    for name, made in (("whole", DIVERGES), ("cut", first_half), ("cut", DIVERGES)):
        notes = Notes()
        released = TrainingLoop(
            partial(Regression, **made, world=world),
            checkpoints(folder / name),
            Rules(rollbacks=2, release="best"),
            notes,
            world,
        ).run()
        save_file(released.weights, folder / f"{name}-{world.rank}.safetensors")
        assert bool(notes.records) == (world.rank == 0)


def test_all_processes_are_put_back_and_go_on_alike(tmp_path: Path) -> None:
    in_processes(together, tmp_path)
    expected = run(tmp_path / "alone", rules=Rules(rollbacks=2, release="best"), **DIVERGES)
    for name in ("whole", "cut"):
        first, second = (load_file(tmp_path / f"{name}-{rank}.safetensors") for rank in (0, 1))
        assert same(first, second)
        assert same(first, expected.weights)
