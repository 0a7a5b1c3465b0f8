"""What carries out a run's work: Ray Tune, or a loop in this process. One contract for both."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from autoshrink_ray.dispatch import Dispatcher
from autoshrink_ray.plan import Plan

WorkOff = Callable[[Dispatcher, Callable[[], bool]], None]
"""Works a dispatcher off: returns when the run is finished, or soon after the second argument
says to stop. Raises RunError if the run cannot go on."""


class Executor(Protocol):
    """Where trials run."""

    def ready(
        self, plan: Plan, data: Any, notify: Callable[[str], None]
    ) -> AbstractContextManager[WorkOff]:
        """Holds whatever the trials need, and gives the function that starts them.

        Args:
            plan: What the run does.
            data: The proxy data.
            notify: Told what a user should know of the place where trials run.

        Raises:
            UsageError: If the trials could never run.
        """
        ...


def executor(name: str) -> Executor:
    """The executor called `tune` or `in-process`; Ray is imported for the first only."""
    if name == "tune":
        from autoshrink_ray.executors.tune import TuneExecutor

        return TuneExecutor()
    from autoshrink_ray.executors.inprocess import InProcessExecutor

    return InProcessExecutor()
