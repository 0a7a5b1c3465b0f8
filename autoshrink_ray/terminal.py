"""What happens, in a terminal: lines, and below them a live view where there is a screen."""

from __future__ import annotations

import time
from types import TracebackType
from typing import ClassVar, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text


class LiveConsole:
    """Prints lines as they are; a context in which the live view is shown.

    Args:
        console: Where to print. There is no live view where that is no terminal, one that cannot
            move its cursor, or quiet.

    Attributes:
        refreshes: How often a second the live view is drawn.
        is_live: Whether there is a live view.
    """

    refreshes: ClassVar[float] = 12.5

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begin = time.monotonic()
        self._spinner = Spinner("dots", Text("starting"))
        self._screen: Live | None = None
        self.is_live = console.is_terminal and not (console.is_dumb_terminal or console.quiet)

    def __enter__(self) -> Self:
        if self.is_live:
            self._screen = Live(
                console=self._console,
                get_renderable=self.live,
                refresh_per_second=self.refreshes,
                transient=True,
            )
            self._screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._screen is not None:
            self._screen.stop()

    @property
    def seconds(self) -> float:
        """Time since this object was made."""
        return time.monotonic() - self._begin

    def live(self) -> RenderableType:
        """The live view now: one line. Called by the thread that draws."""
        return self._spinner

    def say(self, text: str) -> None:
        """Prints a line, without markup."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, text: str) -> None:
        """Puts `text`, without markup, into the live line."""
        self._spinner.update(text=Text(text))
