"""Numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

NONE = "-"
"""What stands where there is no number."""

_SHORT = 0.01
"""Durations below so many seconds are not told apart."""


def points(value: float | None, *, signed: bool = False) -> str:
    """A score or a difference of scores."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:{'+' if signed else ''}.4f}"


def count(value: float | None) -> str:
    """A whole number with commas."""
    return NONE if value is None or not math.isfinite(value) else f"{round(value):,}"


def short_count(value: float) -> str:
    """A count for an axis: `640k`, `1.5M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.4g}"


def quality(name: str, value: float | None) -> str:
    """A quality metric: accuracy in percent, perplexity with one decimal."""
    if value is None or not math.isfinite(value):
        return NONE
    if name == "accuracy":
        return f"{100 * value:.2f} %"
    return f"{value:.1f}" if name == "perplexity" else f"{value:.4g}"


def metric(metrics: Mapping[str, float], name: str) -> str:
    """A count among metrics, if it is there."""
    return count(metrics.get(name))


def duration(seconds: float | None) -> str:
    """Seconds as `0.4 s`, `3 min 20 s`, `5 h 07 min` or `3 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if 0 < seconds < _SHORT:
        return f"< {_SHORT:g} s"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest:02d} s"
    return f"{hours} h {left:02d} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def hours(value: float) -> str:
    """Device-hours, with more digits the fewer there are."""
    return f"{value:,.1f}" if value >= 10 else f"{value:.3g}"


def moment(time: float) -> str:
    """A Unix time, in UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
