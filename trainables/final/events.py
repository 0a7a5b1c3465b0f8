"""The curves of a training for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping

from autoshrink_ray import files
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.errors import StorageError
from autoshrink_ray.storage import Folder
from autoshrink_ray.tensorboard import ScalarWriter
from trainables.final.folder import TrainingRun
from trainables.final.reports import TrainObserver

_TAGS = {
    "training_loss": "loss/training",
    "loss": "loss/valid",
    "learning_rate": "learning rate",
}
"""Tags of metrics that are not called as they are."""

_PLACE = ("epoch", "attempt")


class TensorBoardObserver(TrainObserver):
    """Writes the metrics of each epoch below `tensorboard/`.

    A place that cannot be written to does not stop a training: the curves are a copy of its
    history.

    Args:
        folder: The training's folder.
    """

    def __init__(self, folder: Folder) -> None:
        self._writer = ScalarWriter(folder.child(files.TENSORBOARD))

    def on_start(self, run: TrainingRun, data: ProxyData) -> None:
        for record in run.history:  # again: the last driver may have died before it wrote them
            self._add(record)
        self._flush()

    def on_epoch(self, record: Mapping[str, float]) -> None:
        self._add(record)
        self._flush()

    def _add(self, record: Mapping[str, float]) -> None:
        scalars = {_TAGS.get(n, n): value for n, value in record.items() if n not in _PLACE}
        self._writer.add(int(record["epoch"]), scalars)

    def _flush(self) -> None:
        try:
            self._writer.flush()
        except StorageError:
            return
