"""A Ray Tune trial that trains one variant of a network, one epoch a step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ray import tune

from autoshrink_ray import errors, plugins
from autoshrink_ray.errors import AutoshrinkError, RunError, UsageError
from search_spaces.network import NetworkFile
from trainables.device import Compute
from trainables.final.contracts import Setup, Training
from trainables.final.recipes import Recipe
from trainables.final.tasks import full_task
from trainables.measure import Progress, measure
from trainables.tuning.objective import Quality

QUALITY = "quality"
"""Key of a result: validation quality of the weights to ship. Missing where training failed."""

STATUS = "status"
"""Key of a result: `training`, `finished`, `failed`, `out_of_memory` or `refused`."""

REFUSED = "refused"
"""Status of a trial that met a fault of the user's, which no other trial can help."""

_KIND = "kind"


def trial_config(network: NetworkFile, recipe: Recipe) -> dict[str, str]:
    """A trial's configuration, as `VariantTrainable` reads it."""
    return {
        "network": network.to_json().decode(),
        "recipe": recipe.model_dump_json(),
    }


def refusal(result: Mapping[str, Any]) -> UsageError | RunError:
    """What a trial raised that was refused; of our own kind, where it has one of another."""
    kind = getattr(errors, result[_KIND], RunError)
    return kind(result["reason"]) if issubclass(kind, UsageError) else RunError(result["reason"])


class VariantTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains a variant from scratch, without checkpoints.

    What the variant does wrong (divergence, running out of memory) is a result that says so, and
    so is what is raised on purpose, such as a damaged image; only what the infrastructure does
    wrong raises. The process keeps its data for the next trial.
    """

    def setup(
        self,
        config: dict[str, Any],
        *,
        data: Any,
        seed: int,
        threads: int,
        gpu: bool,
        plugin_modules: Sequence[str],
    ) -> None:
        """Takes what all trials share, once in a worker's life.

        Args:
            config: See `trial_config`.
            data: What the task's `load` returned.
            seed: Seed of every training.
            threads: CPU threads of a training.
            gpu: Whether a GPU may be used.
            plugin_modules: Modules that register own search spaces.
        """
        for module in plugin_modules:
            plugins.load_plugin(module)
        self._data, self._seed = data, seed
        self._threads, self._gpu = threads, gpu
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next trial's variant."""
        self._network = NetworkFile.from_json(new_config["network"].encode(), "a trial's network")
        self._task = full_task(self._network.task)
        self._recipe = self._task.Recipe.model_validate(json.loads(new_config["recipe"]))
        self._quality = Quality.of(self._task.quality)
        self._training: Training | None = None
        self._shown: float | None = None
        self._seconds = 0.0
        return True

    def step(self) -> dict[str, Any]:
        """Trains one epoch; the last step is `done`."""
        compute = Compute.available(
            threads=self._threads, gpu=self._gpu, deterministic=self._recipe.deterministic
        )
        try:
            measured = measure(compute, self._seed, lambda progress: self._epoch(compute, progress))
        except AutoshrinkError as error:
            self._training = None
            kind = type(error).__name__
            return {STATUS: REFUSED, "reason": str(error), _KIND: kind, "done": True}
        self._seconds += measured.seconds
        result = {"epochs": measured.epochs, "seconds": self._seconds, "device": compute.name}
        if measured.status != "complete":
            self._training = None
            return result | {STATUS: measured.status, "reason": measured.reason, "done": True}
        self._shown = self._released(measured.metrics[self._quality.metric])
        finished = self._training is None or self._training.finished
        status = {STATUS: "finished" if finished else "training", "done": finished}
        return result | status | {QUALITY: self._shown, "metrics": measured.metrics}

    def _epoch(self, compute: Compute, progress: Progress) -> None:
        if self._training is None:
            setup = Setup(self._network, self._recipe, self._data, compute, seed=self._seed)
            self._training = self._task.training(setup)
        progress.epochs = self._training.epochs_done + 1
        progress.metrics = self._training.run_epoch(attempt=0)

    def _released(self, value: float) -> float:
        """Quality of the weights that a training would ship if it ended now."""
        return self._quality.better(self._shown, value) if self._recipe.release == "best" else value

    def cleanup(self) -> None:
        """Lets go of the network."""
        self._training = None
