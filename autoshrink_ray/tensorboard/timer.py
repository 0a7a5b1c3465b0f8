"""When something that costs time may be done again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_SHARE = 20
"""How many times as long as it took it is not done again."""

_QUICK = 0.25
"""Seconds that nobody minds."""


class Timer:
    """Sees to it that something takes a twentieth of a search's time at most.

    Args:
        pause: Seconds between two times at least.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._next = time.monotonic() + pause
        self.is_quick = True
        """Whether it took so little last time that it may be done at every occasion."""

    @property
    def is_due(self) -> bool:
        """Whether it is time again."""
        return time.monotonic() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Times it, also where it fails."""
        begin = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            self.is_quick = now - begin < _QUICK
            self._next = now + max(self._pause, _SHARE * (now - begin))
