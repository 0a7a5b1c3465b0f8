"""Reading a run: finished, still going, interrupted or failed."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from autoshrink_ray import files
from autoshrink_ray.errors import ConfigError, StorageError, choices
from autoshrink_ray.files import CellFile
from autoshrink_ray.ledger import End, LedgerContents, read_ledger
from autoshrink_ray.objective import Objective, objective
from autoshrink_ray.plain import best_dict, round_dict
from autoshrink_ray.policies.base import best_decision
from autoshrink_ray.policies.shrink import ends_with, last_size
from autoshrink_ray.records import Decision
from autoshrink_ray.runfile import RunFile
from autoshrink_ray.storage import Folder, join
from autoshrink_ray.table import evaluations_table, to_parquet

if TYPE_CHECKING:  # a search needs neither, and importing them takes a second
    import pandas as pd
    from matplotlib.figure import Figure


class Run:
    """One run in storage, read afresh by each object; nothing is ever changed.

    Args:
        location: Path or URI of the run's folder, or a run's name.
        storage: Where a name is looked up.

    Raises:
        StorageError: If there is no run.
        FileFormatError: If one of its files is damaged.
    """

    def __init__(self, location: str, storage: str = "runs") -> None:
        found = RunFile.find(location, storage)
        if found is None:
            raise StorageError(
                f"no run at {Folder(location).location}: give <storage>/<name> or the name of a "
                f"run in {storage!r}; `autoshrink-ray runs` lists them"
            )
        self.folder = found

    @cached_property
    def file(self) -> RunFile:
        """What the run is."""
        return RunFile.read(self.folder)

    @cached_property
    def ledger(self) -> LedgerContents:
        """Everything that is finished."""
        return read_ledger(self.folder)

    def with_ledger(self, contents: LedgerContents) -> Run:
        """The same run as if its ledger held `contents`, without another look at the storage."""
        other = copy(self)
        other.__dict__.pop("searches", None)  # they belong to their run
        other.ledger = contents
        return other

    @property
    def name(self) -> str:
        """The run's name."""
        return self.file.name

    @property
    def space(self) -> str:
        """Name of the search space."""
        return str(self.file.identity["space"])

    @property
    def shrinks(self) -> bool:
        """Whether each round's candidates come from the cell that the round before decided on."""
        return self.file.identity.get("keep_fraction") is not None

    @cached_property
    def objective(self) -> Objective:
        """The run's score."""
        identity = self.file.identity
        return objective(identity["objective"], identity["cost_weight"])

    @cached_property
    def searches(self) -> list[SearchResult]:
        """The run's searches by number."""
        return [SearchResult(self, number) for number in range(self.file.identity["searches"])]

    def search(self, number: int) -> SearchResult:
        """One of the run's searches.

        Raises:
            ConfigError: If there is none of that number.
        """
        if not 0 <= number < len(self.searches):
            known = choices(range(len(self.searches)))
            raise ConfigError(f"run {self.name!r} has no search {number}; choose one of {known}")
        return self.searches[number]

    @property
    def status(self) -> str:
        """`finished`, `failed`, `interrupted`, or `open`: still going, or its driver died."""
        if all(search.status == "finished" for search in self.searches):
            return "finished"
        return self._last_end.status if self._last_end else "open"

    @property
    def message(self) -> str:
        """Why the run ended before it was finished; empty otherwise."""
        stopped = self.status in {"failed", "interrupted"}
        return self._last_end.message if stopped and self._last_end else ""

    @property
    def last_end(self) -> str:
        """How the latest attempt ended; empty while it goes on, or if it was killed."""
        return self._last_end.status if self._last_end else ""

    @property
    def machines(self) -> list[str]:
        """Device and library build of the trainings: more than one can change last digits."""
        trained = (e.measurement for e in self.ledger.evaluations.values() if e.complete)
        return sorted({f"{m.device}, {m.build}" for m in trained})

    @property
    def _last_end(self) -> End | None:
        attempts = self.ledger.attempts
        return self.ledger.ends.get(attempts[-1]) if attempts else None

    @property
    def best(self) -> Decision | None:
        """The round with the best cell of all searches; None before the first decision."""
        return best_decision(self.ledger.decisions.values())

    @property
    def table(self) -> pa.Table:
        """All evaluations, one row each, in order; failed ones have null metrics."""
        return evaluations_table(self.ledger, self.objective)

    @property
    def evaluations(self) -> pd.DataFrame:
        """The same for pandas."""
        return self.table.to_pandas()

    def pareto(self) -> pd.DataFrame:
        """The Pareto front of quality and MACs, the fewest MACs first, one row a cell."""
        from autoshrink_ray.notebook import front_frame

        return front_frame(self)

    def plot_score(self) -> Figure:
        """Best and mean score of each round, and the winners' MACs."""
        from autoshrink_ray.plots import score_figure

        return score_figure(self)

    def plot_pareto(self) -> Figure:
        """Quality against MACs of all measured cells, the front highlighted."""
        from autoshrink_ray.plots import pareto_figure

        return pareto_figure(self)

    def plot_edges(self, search: int = 0) -> Figure:
        """What each edge was worth in each round.

        Raises:
            ConfigError: If there is no such search.
        """
        from autoshrink_ray.plots import edge_figure

        return edge_figure(self, search)

    def plot_round(self, number: int, search: int = 0) -> Figure:
        """The candidates of a round, their scores taken apart.

        Raises:
            ConfigError: If there is no such search or round.
        """
        from autoshrink_ray.plots import round_figure

        return round_figure(self, search, number)

    def _repr_html_(self) -> str:
        from autoshrink_ray.notebook import run_html

        return run_html(self)

    def cell(self, decision: Decision) -> CellFile:
        """The cell file of a round's winner."""
        return CellFile.of(
            self.space,
            decision.topology,
            score=decision.score,
            metrics=decision.metrics,
            provenance={
                "run": self.name,
                "search": decision.search,
                "round": decision.round,
                "seed": SearchResult(self, decision.search).seed,
                "created": self.file.created,
                "data": self.file.config["data"],
                "data_fingerprint": self.file.identity["data_fingerprint"],
                "versions": self.file.versions,
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """The run as plain data: what `show --json` prints."""
        evaluations = self.ledger.evaluations.values()
        return {
            "name": self.name,
            "space": self.space,
            "status": self.status,
            "evaluations": len(evaluations),
            "failed": sum(not evaluation.complete for evaluation in evaluations),
            "cached": sum(evaluation.cached for evaluation in evaluations),
            "best": best_dict(self.best),
            "searches": [search.to_dict() for search in self.searches],
        }


@dataclass(frozen=True)
class SearchResult:
    """One search of a run.

    Attributes:
        run: The run.
        number: The search's number in it.
    """

    run: Run
    number: int

    @property
    def seed(self) -> int:
        """Seed of this search."""
        return int(self.run.file.identity["seed"]) + self.number

    @property
    def rounds(self) -> list[Decision]:
        """Closed rounds, oldest first."""
        decisions = self.run.ledger.decisions
        return [
            decision for (search, _), decision in sorted(decisions.items()) if search == self.number
        ]

    @property
    def status(self) -> str:
        """`finished` or `open`."""
        rounds = self.rounds
        return "finished" if rounds and self._ends_with(rounds[-1]) else "open"

    def _ends_with(self, decision: Decision) -> bool:
        """A run can be extended, so what its configuration says now is what counts."""
        identity = self.run.file.identity
        if not self.run.shrinks:
            return decision.final
        nodes = identity["nodes"]
        return ends_with(
            decision.topology, last_size(identity["keep_fraction"], nodes * (nodes - 1) // 2)
        )

    @property
    def best(self) -> Decision | None:
        """The round with the best cell."""
        return best_decision(self.rounds)

    def to_dict(self) -> dict[str, Any]:
        """The search as plain data."""
        return {
            "seed": self.seed,
            "status": self.status,
            "best": best_dict(self.best),
            "rounds": [round_dict(decision) for decision in self.rounds],
        }


def write_results(folder: Folder) -> None:
    """Writes what other programs read: the table of evaluations and the cells of all rounds."""
    run = Run(folder.location)
    folder.write(files.EVALUATIONS, to_parquet(run.table))
    for decision in run.ledger.decisions.values():
        name = files.round_cell(decision.search, decision.round)
        folder.write(name, run.cell(decision).to_json())
    if run.best is not None:
        folder.write(files.BEST_CELL, run.cell(run.best).to_json())


def list_runs(storage: str) -> list[Run]:
    """All runs in a storage location, by name."""
    names = Folder(storage).folders()
    locations = [join(storage, name) for name in names]
    return [Run(place) for place in locations if RunFile.exists(Folder(place))]
