"""What is forecast: a search that has not begun, what is left of a run, or a whole run again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoshrink_ray.config import SearchConfig, merge
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.forecast.overheads import NONE, Overheads
from autoshrink_ray.forecast.seconds import Drawn, Recorded, Source, by_edges
from autoshrink_ray.forecast.simulate import Simulated, simulate
from autoshrink_ray.ledger import LedgerContents
from autoshrink_ray.plan import Plan
from autoshrink_ray.results import Run

_PLENTY = 1_000_000
"""More workers than any run has candidates at once."""


@dataclass(frozen=True)
class Subject:
    """What is forecast.

    Attributes:
        what: `search`, `rest of a run` or `finished run again`.
        plan: The run.
        sources: What trainings give, one for each draw.
        known: What is finished and is not simulated.
    """

    what: str
    plan: Plan
    sources: tuple[Source, ...]
    known: LedgerContents | None = None

    @classmethod
    def of_config(cls, config: SearchConfig, seconds: float, draws: int) -> Subject:
        """A search that has not begun.

        Args:
            config: The search.
            seconds: Of each training.
            draws: How often its course is drawn.

        Raises:
            ConfigError: If the configuration is wrong.
        """
        plan = Plan.of(config)
        pool = {0: (seconds,)}
        return cls("search", plan, tuple(Drawn(plan.objective, pool, d) for d in range(draws)))

    @classmethod
    def of_run(cls, run: Run, seconds: float | None, draws: int, **changes: Any) -> Subject:
        """What is left of a run, or all of it again if it is finished.

        Args:
            run: The run.
            seconds: Of each training; None for what trainings have taken in it.
            draws: How often the course is drawn of what is left.
            **changes: Fields of its configuration that decide no number.

        Raises:
            ConfigError: If no training is on record, or evaluations of it are lost.
        """
        contents = run.ledger
        pool = {0: (seconds,)} if seconds is not None else by_edges(contents.evaluations)
        if not pool:
            raise ConfigError(
                f"run {run.name!r} has no training on record yet: give --seconds-per-candidate"
            )
        plan = Plan.of(SearchConfig.of(merge(run.file.config, changes)))
        drawn = [Drawn(plan.objective, pool, draw) for draw in range(draws)]
        if run.status != "finished":
            return cls("rest of a run", plan, tuple(drawn), contents)
        if contents.lost:
            raise ConfigError(
                f"{len(contents.lost)} evaluations of run {run.name!r} are lost, so it cannot be "
                f"gone through again: going on with the run makes them anew"
            )
        recorded = Recorded(contents.evaluations, drawn[0], seconds)
        return cls("finished run again", plan, (recorded,))

    def simulate(self, workers: int, overheads: Overheads) -> list[Simulated]:
        """Each draw on so many workers."""
        return [simulate(self.plan, s, workers, overheads, self.known) for s in self.sources]

    def widest(self) -> int:
        """Workers beyond which none has anything to do, the most of all draws."""
        return max(draw.most_at_once for draw in self.simulate(_PLENTY, NONE))
