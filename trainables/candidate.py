"""A Ray Tune trial that evaluates candidates."""

from __future__ import annotations

from typing import Any

from ray import tune

from autoshrink_ray.work import Work
from autoshrink_ray.worker import Worker


class CandidateTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains the candidates it is given, one by default, and reports all of them at once.

    The worker process keeps its data and device from one trial to the next. Only what the
    infrastructure does wrong raises; a candidate's own faults are part of its measurement.
    """

    def setup(self, config: dict[str, Any], *, settings: dict[str, Any], data: Any) -> None:
        """Loads data and device, once in a worker's life.

        Args:
            config: `work`: the first trial's work, as JSON.
            settings: The run's resolved configuration.
            data: The proxy data.
        """
        self._worker = Worker(settings, data)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next trial's work."""
        self._work = Work.model_validate_json(new_config["work"])
        self._reported = False
        return True

    def step(self) -> dict[str, Any]:
        """Evaluates all candidates of the trial."""
        if self._reported:
            raise RuntimeError("this trial has reported already: run it under ShrinkScheduler")
        outcomes = [self._worker.measure(task) for task in self._work.tasks]
        self._reported = True
        return {"outcomes": [outcome.model_dump_json() for outcome in outcomes]}
