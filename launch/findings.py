"""What `doctor` found, as a list for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoshrink_ray.errors import AutoshrinkError

Found = TypeVar("Found")

NODE_COLUMNS = ("node", "python", "ray", "torch", "CPUs", "GPUs")


@dataclass
class Findings:
    """What was found so far; each is printed as soon as it is known.

    Attributes:
        console: Where to print.
        checks: What was checked: `name`, `ok`, and `found` or `error`.
        notes: What a user should know that is no error.
        nodes: A row for each node that was asked, by the names of `NODE_COLUMNS`.
    """

    console: Console
    checks: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    nodes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether nothing failed."""
        return all(check["ok"] for check in self.checks)

    def check(self, name: str, run: Callable[[], str]) -> bool:
        """Answers a question in a line; whether it was answered."""
        found = self.attempt(name, run)
        if found is None:
            return False
        self.checks.append({"name": name, "ok": True, "found": found})
        self._print(f"[green]ok[/green]   {name}: {escape(found)}")
        return True

    def attempt(self, name: str, action: Callable[[], Found]) -> Found | None:
        """What an action gives, or None and a check that failed."""
        try:
            return action()
        except AutoshrinkError as error:
            self.checks.append({"name": name, "ok": False, "error": str(error)})
            self._print(f"[red]FAIL[/red] {name}: {escape(str(error))}")
            return None

    def note(self, text: str) -> None:
        """Something that a user should know."""
        self.notes.append(text)
        self._print(f"note {escape(text)}")

    def show_nodes(self, rows: Sequence[dict[str, Any]]) -> None:
        """The nodes that were asked."""
        self.nodes.extend(rows)
        if not rows:
            return
        table = Table(*NODE_COLUMNS, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(escape(str(row[name])) for name in NODE_COLUMNS))
        self.console.print(table, highlight=False)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        ready = {"ready": self.ready, "checks": self.checks, "notes": self.notes}
        return ready | {"nodes": self.nodes}

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False)
