"""From values to places on an axis, and where its marks stand."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_WIDE = 20.0
"""From this ratio of largest to smallest on, counts are on a logarithmic axis."""

_TOO_CLOSE = 1e-9
"""Share of a value below which a range of values counts as none."""


@dataclass(frozen=True)
class Axis:
    """Where values are.

    Attributes:
        low: Value at the start.
        high: Value at the end, above `low`.
        log: Whether equal ratios have equal lengths; then `low` is above 0.
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Iterable[float], *, room: float = 0.06) -> Axis:
        """An axis that holds all values, and room at both ends as a share of their range."""
        low, high = _range(values)
        more = room * (high - low)
        return cls(low - more, high + more)

    @classmethod
    def of_counts(cls, values: Iterable[float]) -> Axis:
        """The same for counts, logarithmic where they differ much."""
        known = list(values)
        low, high = _range(known)
        if known and low > 0 and high / low > _WIDE:
            return cls(low / 1.2, high * 1.2, log=True)
        return cls.of(known)

    def part(self, value: float) -> float:
        """Place of a value, 0 at the start and 1 at the end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values for at most so many marks; on a logarithmic axis powers of ten and more."""
        return self._powers(most) if self.log else self._steps(most)

    def _steps(self, most: int) -> list[float]:
        step = nice_step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]

    def _powers(self, most: int) -> list[float]:
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**power for power in exponents for digit in digits]
            inside = [value for value in found if self.low <= value <= self.high]
            if len(inside) <= most:
                return inside
        return inside[:: math.ceil(len(inside) / most)]


def nice_step(least: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is at least `least`, above 0."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= least * (1 - 1e-9))


def _range(values: Iterable[float]) -> tuple[float, float]:
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low > _TOO_CLOSE * max(abs(low), abs(high), _TOO_CLOSE):
        return low, high
    half = 0.05 * abs(low) or 0.5
    return low - half, high + half
