"""How a run at a moment looks in a terminal: eight lines at most."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from autoshrink_ray.standing import OpenRound, Snapshot
from autoshrink_ray.wording import metrics_text

_MOST_SHOWN = 4
"""Searches with a line of their own."""

_NARROW = 80
"""Columns below which a line says only what changes by the second."""

_FREE = 3
"""Columns at the end of a line where a terminal echoes ^C; in the next line it would move ours."""


class Panel:
    """A rich renderable.

    Args:
        snapshot: The run.
        elapsed: Seconds since this driver started.
    """

    def __init__(self, snapshot: Snapshot, elapsed: float) -> None:
        self._snapshot = snapshot
        self._elapsed = elapsed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        label = max([7, *(len(text) for text, _ in self._labelled())])
        group = Group(self._bars(label, narrow=options.max_width < _NARROW), self._facts(label))
        cropped = options.update(width=max(1, options.max_width - _FREE), height=None)
        for line in console.render_lines(group, cropped, pad=False):
            yield from line
            yield Segment.line()

    def _labelled(self) -> list[tuple[str, OpenRound]]:
        many = self._snapshot.searches > 1
        shown = self._snapshot.rounds[:_MOST_SHOWN]
        return [
            (f"search {r.search}, round {r.round}" if many else f"round {r.round}", r)
            for r in shown
        ]

    def _bars(self, label: int, *, narrow: bool) -> Table:
        table = _grid(label)
        table.add_column(ratio=1, min_width=6)
        table.add_column(no_wrap=True, overflow="ellipsis")
        if not narrow:
            table.add_column(no_wrap=True, overflow="ellipsis")
        for text, found in self._labelled():
            _fill(table, Text(text), _bar(found.done, found.size), *_counts(found))
        _fill(table, Text("all"), *self._total(narrow=narrow))
        return table

    def _total(self, *, narrow: bool) -> list[RenderableType]:
        """The whole run's bar, count and time; a narrow line has no place for the count."""
        done, left = self._snapshot.done, self._snapshot.left
        is_known = self._snapshot.is_exact or left == 0
        count = Text(f"{done} of {'' if is_known else 'at most '}{done + left}")
        time = Text(remaining(self._snapshot.eta) if left else "")
        return [_bar(done, done + left), time] if narrow else [_bar(done, done + left), count, time]

    def _facts(self, label: int) -> Table:
        table = _grid(label)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        others = self._snapshot.searches - len(self._snapshot.rounds[:_MOST_SHOWN])
        if others and self._snapshot.searches > 1:
            table.add_row(Text("others"), Text(self._others()))
        table.add_row(Text("best"), Text(self._best()))
        table.add_row(Text("workers"), Text(self._workers()))
        return table

    def _others(self) -> str:
        is_open = len(self._snapshot.rounds)
        counts = {
            "under way": is_open - min(is_open, _MOST_SHOWN),
            "finished": self._snapshot.searches - is_open,
        }
        return ", ".join(f"{number} {what}" for what, number in counts.items() if number)

    def _best(self) -> str:
        best = self._snapshot.best
        if best is None:
            return "no round is decided yet"
        search = f" of search {best.search}" if self._snapshot.searches > 1 else ""
        return f"{metrics_text(best)}, round {best.round}{search}"

    def _workers(self) -> str:
        most = f" of at most {self._snapshot.at_once}" if self._snapshot.at_once else ""
        trained = f"{self._snapshot.trained} trained"
        return f"{self._snapshot.busy} busy{most}, {trained} in {clock(self._elapsed)}"


def _grid(label: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=label, no_wrap=True, overflow="ellipsis")
    return table


def _fill(table: Table, *cells: RenderableType) -> None:
    """Adds a row, without the cells that the table has no columns for."""
    table.add_row(*cells[: len(table.columns)])


def _counts(found: OpenRound) -> list[Text]:
    counts = f"{found.done} done, {found.running} running, {found.queued} queued"
    edges = "" if found.edges is None else f"{found.edges} edges, ends at {found.target}"
    return [Text(counts), Text(edges)]


def _bar(done: int, size: int) -> ProgressBar:
    return ProgressBar(total=max(1, size), completed=done)


def clock(seconds: float) -> str:
    """A time as people write it: `0:07`, `12:34`, `1:02:03`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def remaining(eta: float | None) -> str:
    """An estimate as people write it; empty without one."""
    return "" if eta is None else f"about {clock(eta)} left"
