"""A language model that diverges, in the loop that puts it back."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from autoshrink_ray.errors import RunError
from autoshrink_ray.storage import Folder
from tests.trainables.final.text_support import DROPOUTS, network_file, setup
from trainables.final.checkpoints import Checkpoints, EpochRecord
from trainables.final.contracts import State
from trainables.final.loop import Rules, TrainingLoop
from trainables.final.text_training import TextTraining


class Watcher:
    def __init__(self) -> None:
        self.epochs: list[tuple[float, float]] = []
        self.notes: list[str] = []

    def epoch(self, record: EpochRecord) -> None:
        self.epochs.append((record["epoch"], record["attempt"]))

    def note(self, text: str) -> None:
        self.notes.append(text)


class Poisoned(TextTraining):
    """A weight is NaN before the third epoch, the first time."""

    def run_epoch(self, attempt: int) -> dict[str, float]:
        if (self.epochs_done, attempt) == (2, 0):
            state = self.state()
            nan = {"network.decoder_bias": torch.full((10,), torch.nan)}
            self.restore(State(state.tensors | nan, state.values))
        return super().run_epoch(attempt)


def test_a_training_that_diverged_ends_from_its_best_epoch(tmp_path: Path) -> None:
    made_from = setup(network_file(**DROPOUTS), epochs=4)
    watcher = Watcher()
    checkpoints = Checkpoints(Folder(str(tmp_path)), "perplexity", watcher.note)
    rules = Rules(rollbacks=1, release="best")
    released = TrainingLoop(lambda: Poisoned(made_from), checkpoints, rules, watcher).run()
    assert watcher.epochs[:2] == [(1, 0), (2, 0)]
    assert watcher.epochs[-1] == (4, 1)
    (note,) = watcher.notes
    assert "diverged in epoch 3: training loss nan: it goes back to epoch" in note
    assert all(weight.isfinite().all() for weight in released.weights.values())
    assert math.isfinite(released.record["perplexity"])


def test_a_training_that_always_diverges_gives_up(tmp_path: Path) -> None:
    watcher = Watcher()
    checkpoints = Checkpoints(Folder(str(tmp_path)), "perplexity", watcher.note)
    made_from = setup(learning_rate=1e30)
    loop = TrainingLoop(lambda: TextTraining(made_from), checkpoints, Rules(rollbacks=2), watcher)
    with pytest.raises(RunError, match=r"diverged in epoch 1.*put back 2 times"):
        loop.run()
    assert len(watcher.notes) == 2
