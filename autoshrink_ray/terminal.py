"""What happens, in a terminal: lines, and below them a live one where there is a screen."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status


class LiveConsole:
    """Prints lines as they are; a context in which the live line is shown.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("starting", console=console) if console.is_terminal else None
        self._begin = time.monotonic()

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()

    @property
    def is_live(self) -> bool:
        """Whether there is a screen, and so a live line."""
        return self._status is not None

    @property
    def seconds(self) -> float:
        """Time since this object was made."""
        return time.monotonic() - self._begin

    def say(self, text: str) -> None:
        """Prints a line, without markup."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, text: str) -> None:
        """Puts `text` into the live line, if there is one."""
        if self._status is not None:
            self._status.update(text)
