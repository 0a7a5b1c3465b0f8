"""What a study optimises: quality alone, or quality against MACs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autoshrink_ray.objective import objective

ObjectiveName = Literal["quality", "quality-macs"]
Mode = Literal["min", "max"]
Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Quality:
    """A metric of the validation, and which way it improves.

    Attributes:
        metric: `accuracy` or `perplexity`.
        higher: Whether more is better.
    """

    metric: str
    higher: bool

    @classmethod
    def of(cls, metric: str) -> Quality:
        """The quality of a task.

        Raises:
            ConfigError: If it is neither of the two.
        """
        points = objective(metric).quality
        return cls(metric, points(1.0) > points(0.0))

    @property
    def mode(self) -> Mode:
        """As Tune calls the direction."""
        return "max" if self.higher else "min"

    def better(self, best: float | None, value: float) -> float:
        """The better one of two values; the value where there is no best yet."""
        if best is None:
            return value
        return max(best, value) if self.higher else min(best, value)

    def points(self, value: float) -> float:
        """The value so that more is better."""
        return value if self.higher else -value


@dataclass(frozen=True)
class TuningObjective:
    """What the trials of a study are compared by.

    Attributes:
        quality: The quality metric.
        with_macs: Whether fewer MACs count, too.
    """

    quality: Quality
    with_macs: bool

    @property
    def modes(self) -> list[Mode]:
        """`max` or `min` for each objective."""
        return [self.quality.mode, "min"] if self.with_macs else [self.quality.mode]

    @property
    def directions(self) -> list[Direction]:
        """The same as Optuna calls it."""
        return ["maximize" if mode == "max" else "minimize" for mode in self.modes]
