"""Figures of the whole run that cost more than a round may: drawn now and then, and at the end."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from tensorboard.compat.proto.event_pb2 import Event

from autoshrink_ray.results import Run
from autoshrink_ray.tensorboard import events, tags

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 110
"""Pixels an inch."""


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
