"""Colours that people with any colour vision tell apart, on white paper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autoshrink_ray.files import digest

PAPER = "#ffffff"
FRAME = "#d8dce2"
INK = "#1f2430"
INPUT = "#3f4754"
FAINT = "#c3c9d1"
QUIET = "#525c6b"
REMOVED = "#c8102e"


@dataclass(frozen=True)
class Tone:
    """One operation's colours.

    Attributes:
        fill: Of the node; dark text is readable on it.
        line: Of its outline and of the edges that leave it; visible on paper.
    """

    fill: str
    line: str


_TONES = (
    Tone("#cfe3f5", "#0b6cb0"),
    Tone("#fbe3bd", "#b06a00"),
    Tone("#c9ecdf", "#00805d"),
    Tone("#f3d6e6", "#a8457f"),
    Tone("#d8effb", "#2b93c8"),
    Tone("#ece9b8", "#7b7200"),
    Tone("#e0d9f2", "#6a51a3"),
    Tone("#e6dcd3", "#7a5230"),
)
"""Okabe and Ito's colours, lines darkened until they stand out from paper; and two more."""

_SCALE = ("#7ad151", "#22a884", "#2a788e", "#414487", "#440154")
"""Viridis from bright to dark, without its brightest part, which paper swallows."""


def tones(operations: Iterable[str]) -> dict[str, Tone]:
    """A tone for each operation: that of its name, or the next one if that is taken.

    The digest's prefix is chosen so that the operations of the image cells, and those of the
    recurrent cells, have tones of their own. More operations than tones share them.
    """
    found: dict[str, int] = {}
    for name in sorted(set(operations)):
        start = int(digest(f"{_PREFIX}{name}".encode("utf-8", "replace"))[:8], 16)
        places = [(start + step) % len(_TONES) for step in range(len(_TONES))]
        free = [place for place in places if place not in found.values()]
        found[name] = (free or places)[0]
    return {name: _TONES[place] for name, place in found.items()}


_PREFIX = "1581 "


def on_scale(part: float) -> str:
    """Colour of a value, from 0 (low) to 1 (high)."""
    place = max(0.0, min(part, 1.0)) * (len(_SCALE) - 1)
    index = min(int(place), len(_SCALE) - 2)
    low, high = (_channels(_SCALE[index + step]) for step in (0, 1))
    mixed = (round(a + (b - a) * (place - index)) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _channels(colour: str) -> list[int]:
    return [int(colour[start : start + 2], 16) for start in (1, 3, 5)]
