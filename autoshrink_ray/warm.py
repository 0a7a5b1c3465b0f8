"""Which idle workers stay warm for later rounds, and which give their place back.

A worker that is kept between rounds spares its successor a process start, the imports and the
loading of the data. It also holds its CPUs and GPUs, and a node that holds a worker is never idle
for an autoscaler. So there are as many as later rounds may still use at once, and no more: rounds
of a search that shrinks have fewer and fewer candidates.

Written against Ray 2.60 and pinned to it: Tune's cache of idle actors is a private part of it.
"""

from __future__ import annotations

from typing import Any


def idle_wanted(most: int, at_once: int, out: int) -> int:
    """Idle workers for which there may be work.

    Args:
        most: Pieces of work that can still be worked on at the same time, now or later.
        at_once: Pieces of work that may be worked on at a time.
        out: Pieces of work that are out: each has its worker, or waits for one.
    """
    return max(0, min(most, at_once) - out)


class WarmWorkers:
    """The idle workers of a run, in Tune's cache of actors.

    Tune counts what it expects there: one for each trial that waits for resources. What is kept
    for trials that do not exist yet is counted here, on top.

    Attributes:
        kept: Idle workers kept beyond those that trials wait for.
    """

    def __init__(self) -> None:
        self.kept = 0
        self._resources: Any = None

    def keep(self, tune_controller: Any, wanted: int) -> None:
        """Keeps so many from now on; Tune ends the others in its next step.

        Nothing is kept before `serve` has said what a worker takes.
        """
        if self._resources is not None and wanted != self.kept:
            _actor_cache(tune_controller).increase_max(self._resources, by=wanted - self.kept)
            self.kept = wanted

    def serve(self, tune_controller: Any, resources: Any) -> None:
        """Hears once what a worker takes; later calls change nothing."""
        if self._resources is None:
            self._resources = resources
            # Tune keeps one in case that another trial comes; here it is known whether one does.
            _actor_cache(tune_controller)._may_keep_one = False


def _actor_cache(tune_controller: Any) -> Any:
    return getattr(tune_controller, "_tune_controller", tune_controller)._actor_cache
