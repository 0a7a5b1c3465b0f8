"""Doing something to several files at a time: an object store answers slowly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from autoshrink_ray.errors import StorageError
from autoshrink_ray.storage import Folder

_AT_ONCE = 16

Item = TypeVar("Item")


def each(action: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Does something to all items; after the first failure no further one is begun."""
    if len(items) < 2:
        for item in items:
            action(item)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        doing = [pool.submit(action, item) for item in items]
        try:
            for one in doing:
                one.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def discard(folder: Folder, name: str) -> None:
    """Deletes a file that somebody else may have deleted already.

    Raises:
        StorageError: If it is there and cannot be deleted.
    """
    try:
        folder.remove(name)
    except StorageError:
        if folder.exists(name):
            raise
