"""Rules: small functions that look at one thing of a cluster file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from launch.clusters.document import Document, Kind


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"


class Fault(NamedTuple):
    """What a rule found.

    Attributes:
        path: Where in the document, in dots.
        wrong: What is wrong there.
        remedy: What to write instead.
    """

    path: str
    wrong: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """A fault, with the rule that found it."""

    rule: str
    level: Level
    path: str
    wrong: str
    remedy: str


Find = Callable[[Document], Iterator[Fault]]


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: Its name.
        level: How bad its findings are.
        kinds: Documents that it looks at.
        why: What goes wrong otherwise, in a sentence.
        find: Finds its faults.
    """

    name: str
    level: Level
    kinds: tuple[Kind, ...]
    why: str
    find: Find


RULES: dict[str, Rule] = {}


def rule(*kinds: Kind, level: Level = Level.ERROR) -> Callable[[Find], Find]:
    """Registers a function as the rule of its name; its docstring's first line says why.

    Args:
        kinds: Documents that it looks at; all if none is named.
        level: How bad its findings are.
    """

    def register(find: Find) -> Find:
        name = find.__name__.replace("_", "-")
        assert name not in RULES, name  # noqa: S101 - two functions of one name
        why = (find.__doc__ or "").partition("\n")[0]
        RULES[name] = Rule(name, level, kinds or tuple(Kind), why, find)
        return find

    return register
