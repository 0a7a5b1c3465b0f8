"""Names of the kinds of networks that can be trained in full."""

from __future__ import annotations

from typing import cast

from autoshrink_ray import plugins
from autoshrink_ray.errors import ConfigError, choices
from trainables.final.contracts import FullTask

_TASKS = {
    "image": "trainables.final.image:IMAGE_TASK",
    "text": "trainables.final.text:TEXT_TASK",
}


def full_task(name: str) -> FullTask:
    """How networks of a kind are trained in full.

    Args:
        name: `image` or `text`, as a search space's `task` says.

    Raises:
        ConfigError: If there is no such kind.
    """
    if name not in _TASKS:
        raise ConfigError(
            f"full training is for networks of the tasks {choices(_TASKS)}, got task {name!r}"
        )
    return cast(FullTask, plugins.load_attribute(_TASKS[name]))
