"""Checks before anything is started: can this cluster carry the run?"""

from __future__ import annotations

from collections.abc import Callable

from autoshrink_ray.preflight.checks import Needs, needed_modules, survey

__all__ = ["Needs", "needed_modules", "require_nodes"]


def require_nodes(needs: Needs, note: Callable[[str], None] = lambda text: None) -> None:
    """Checks every node of the joined cluster that could hold a trial.

    Args:
        needs: What the run asks of them.
        note: Told what a user should know that is no error.

    Raises:
        ConfigError: If a node has another release, lacks a module or does not answer.
        StorageError: If a node does not share a storage with this process.
        DataError: If a node does not find a file that its trials read.
    """
    survey(needs, note).require()
