"""Progress of a training in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.errors import UsageError
from autoshrink_ray.files import TRAIN
from autoshrink_ray.objective import objective
from autoshrink_ray.storage import Folder, join
from autoshrink_ray.terminal import LiveConsole
from trainables.final.reports import TrainObserver

if TYPE_CHECKING:
    from trainables.final.folder import TrainingRun

_METRICS = {
    "training_loss": ("training loss", ".4f"),
    "loss": ("validation loss", ".4f"),
    "accuracy": ("accuracy", ".4f"),
    "top5_accuracy": ("top-5 accuracy", ".4f"),
    "perplexity": ("perplexity", ".2f"),
    "learning_rate": ("learning rate", ".4g"),
}
"""How metrics are called and shown; others as they are."""


class EpochProgress(LiveConsole, TrainObserver):
    """A live line where there is a screen, else a line for each epoch.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._name = ""
        self._epochs = 0
        self.started = False

    def on_start(self, run: TrainingRun, data: ProxyData) -> None:
        self.started = True
        self._name = run.name
        self._epochs = int(run.file.identity["recipe"]["epochs"])
        self.say(run.folder.location)
        self.say(f"{run.network.costs['params']:,} parameters on {data.summary}")
        if run.history:
            self.say(f"going on after epoch {run.history[-1]['epoch']} of {self._epochs}")

    def on_epoch(self, record: Mapping[str, float]) -> None:
        line = (
            f"epoch {record['epoch']} of {self._epochs}: {metrics_line(record)}, "
            f"{record['seconds']:.1f} s"
        )
        if self.is_live:
            self.show(f"{line} ({self.seconds:.0f} s in all)")
        else:
            self.say(line)

    def on_note(self, text: str) -> None:
        self.say(text)

    def say_how_to_go_on(self) -> None:
        """Names the training, if it has begun: its name is all that is needed to go on."""
        if self._name:
            self.say(f"give --name {self._name} to go on with it")


def metrics_line(metrics: Mapping[str, float]) -> str:
    """Metrics of an epoch as people write them."""
    shown = {name: value for name, value in metrics.items() if name not in _PLACE}
    texts = []
    for name, value in shown.items():
        label, form = _METRICS.get(name, (name.replace("_", " "), ".4g"))
        texts.append(f"{label} {value:{form}}")
    return ", ".join(texts)


def training_rows(storage: str) -> list[list[str]]:
    """Name, space, status, epochs and best quality of each training in a storage."""
    names = Folder(storage).folders()
    if not any(Folder(join(storage, name)).exists(TRAIN) for name in names):
        return []  # without importing torch, which takes seconds
    from trainables.final.folder import list_trainings

    return [_row(run) for run in list_trainings(storage)]


def _row(run: TrainingRun) -> list[str]:
    """A damaged training is a row too: it must not hide the others."""
    try:
        quality = run.file.quality
        points = objective(quality).quality
        values = [record[quality] for record in run.history if quality in record]
        best = metrics_line({quality: max(values, key=points)}) if values else "-"
        return [run.name, run.network.space, run.status, f"{len(run.history)} epochs", best]
    except UsageError as error:
        return [run.folder.path.rpartition("/")[2], "-", "damaged", "-", str(error)]


_PLACE = ("epoch", "attempt", "seconds")
