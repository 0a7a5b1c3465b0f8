"""Reading a run: finished, still going, interrupted or failed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from autoshrink_ray import files
from autoshrink_ray.errors import StorageError
from autoshrink_ray.files import CellFile
from autoshrink_ray.ledger import End, LedgerContents, read_ledger
from autoshrink_ray.objective import Objective, objective
from autoshrink_ray.policies.base import best_decision
from autoshrink_ray.policies.shrink import ends_with, last_size
from autoshrink_ray.records import Decision
from autoshrink_ray.runfile import RunFile
from autoshrink_ray.storage import Folder, join
from autoshrink_ray.table import COUNTS, evaluations_table, to_parquet


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
    def evaluations(self) -> pa.Table:
        """All evaluations, one row each, in order."""
        return evaluations_table(self.ledger, self.objective)

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
            "best": _best_dict(self.best),
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
            "best": _best_dict(self.best),
            "rounds": [_round_dict(decision) for decision in self.rounds],
        }


def _round_dict(decision: Decision) -> dict[str, Any]:
    parent = decision.parent.edges if decision.parent else None
    return {
        "round": decision.round,
        "parent_edges": parent,
        "removed": decision.removed,
        "edges": decision.topology.edges,
        "score": decision.score,
        **_metrics(decision),
    }


def _best_dict(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    return {
        "search": decision.search,
        "round": decision.round,
        "score": decision.score,
        **_metrics(decision),
        "nodes": decision.topology.nodes,
        "ops": decision.topology.ops,
        "edges": decision.topology.edges,
        "key": decision.topology.key,
    }


def _metrics(decision: Decision) -> dict[str, float]:
    """Metrics, counts as whole numbers."""
    return {
        name: int(value) if name in COUNTS else value for name, value in decision.metrics.items()
    }


def write_results(folder: Folder) -> None:
    """Writes what other programs read: the table of evaluations and the cells of all rounds."""
    run = Run(folder.location)
    folder.write(files.EVALUATIONS, to_parquet(run.evaluations))
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
