"""Figures of the whole run that cost more than a round may: drawn now and then, and at the end."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

from tensorboard.compat.proto.event_pb2 import Event

from autoshrink_ray.results import Run
from autoshrink_ray.tensorboard import events, tags

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAUSE = 5.0
"""Seconds between two drawings at least."""

_SHARE = 20
"""How many times as long as it takes nothing is drawn again."""

_DPI = 110
"""Pixels an inch."""


class Timer:
    """Says when figures are due, so that they take a twentieth of a search's time at most."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PAUSE

    @property
    def is_due(self) -> bool:
        """Whether it is time to draw again."""
        return time.monotonic() >= self._next

    def took(self, seconds: float) -> None:
        """Says how long the last drawing took."""
        self._next = time.monotonic() + max(_PAUSE, _SHARE * seconds)


def importance(run: Run, search: int, step: int, seconds: float) -> Event:
    """Which edges of a search cost how much in which round."""
    from autoshrink_ray.plots import edge_figure  # matplotlib takes half a second

    return _image(edge_figure(run, search), tags.IMPORTANCE, step, seconds)


def pareto(run: Run, step: int, seconds: float) -> Event:
    """All candidates by quality and MACs, the front highlighted."""
    from autoshrink_ray.plots import pareto_figure

    return _image(pareto_figure(run), tags.PARETO, step, seconds)


def _image(figure: Figure, tag: str, step: int, seconds: float) -> Event:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    width, height = (round(length * _DPI) for length in figure.get_size_inches())
    return events.image(step, tag, content.getvalue(), (width, height), seconds)
