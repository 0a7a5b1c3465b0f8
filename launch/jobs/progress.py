"""How far a job's run is, from its storage, where that can be reached from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autoshrink_ray.errors import AutoshrinkError
from autoshrink_ray.results import Run
from autoshrink_ray.storage import join
from autoshrink_ray.wording import metrics_text
from launch.jobs.attempts import Job


@dataclass(frozen=True)
class Progress:
    """What a search's ledger holds.

    Attributes:
        status: `finished`, `failed`, `interrupted` or `open`.
        evaluations: Candidates with a result.
        rounds: Rounds that are decided, of all searches.
        best: Metrics of the best cell so far; empty before the first decision.
    """

    status: str
    evaluations: int
    rounds: int
    best: str

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return vars(self).copy()

    def __str__(self) -> str:
        best = f", best so far {self.best}" if self.best else ""
        return (
            f"{self.status}; its ledger holds {self.evaluations} evaluations and "
            f"{self.rounds} decided rounds{best}"
        )


def progress(job: Job) -> Progress | str:
    """Where the job's search is; or why that cannot be told."""
    if not job.storage:
        return "the job does not say where its run is"
    if not job.command.startswith("search "):
        return f"the run is in {join(job.storage, job.run)}"
    try:
        run = Run(join(job.storage, job.run))
        return Progress(
            status=run.status,
            evaluations=len(run.ledger.evaluations),
            rounds=len(run.ledger.decisions),
            best=metrics_text(run.best) if run.best else "",
        )
    except AutoshrinkError as error:
        return f"its storage cannot be read from here, or it has not begun: {error}"
