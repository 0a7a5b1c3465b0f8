"""A Ray Tune trial that is a whole search."""

from __future__ import annotations

from typing import Any

from ray import tune

from autoshrink_ray.work import Work
from autoshrink_ray.worker import SearchSession, Worker


class SearchTrainable(tune.Trainable):  # type: ignore[misc]
    """Runs all rounds of one search, reporting each evaluation as it is finished."""

    def setup(self, config: dict[str, Any], *, settings: dict[str, Any], data: Any) -> None:
        """Loads data and device, once in a worker's life.

        Args:
            config: `work`: the search and what it has found already, as JSON.
            settings: The run's resolved configuration.
            data: The proxy data.
        """
        self._worker = Worker(settings, data)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next search."""
        self._session = SearchSession(self._worker, Work.model_validate_json(new_config["work"]))
        return True

    def step(self) -> dict[str, Any]:
        """Evaluates the search's next candidate."""
        return {"outcomes": [outcome.model_dump_json() for outcome in self._session.step()]}
