"""Jobs of a run: `<run>-<attempt>`, one for each time that its command was submitted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autoshrink_ray.errors import ConfigError, choices

ACTIVE = frozenset({"PENDING", "RUNNING"})
"""States in which a job's driver runs, or will."""

_SHOWN = 20
"""Names that an error lists at most."""


@dataclass(frozen=True)
class Job:
    """One job of a cluster.

    Attributes:
        id: Its submission id.
        run: The run that it drives; empty where its metadata do not say.
        storage: Where the run is.
        command: The command that was submitted.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        started: When, in milliseconds since 1970.
        ended: The same of its end.
        exit_code: The driver's, where it ended by itself.
        message: What Ray says of its state.
    """

    id: str
    run: str
    storage: str
    command: str
    status: str
    started: int | None = None
    ended: int | None = None
    exit_code: int | None = None
    message: str = ""

    @classmethod
    def of(cls, details: Any) -> Job:
        """From what Ray's client gives."""
        noted = details.metadata or {}
        return cls(
            id=str(details.submission_id),
            run=noted.get("run", ""),
            storage=noted.get("storage", ""),
            command=noted.get("command", details.entrypoint),
            status=str(getattr(details.status, "value", details.status)),
            started=details.start_time,
            ended=details.end_time,
            exit_code=details.driver_exit_code,
            message=details.message or "",
        )

    @property
    def active(self) -> bool:
        """Whether its driver runs, or will."""
        return self.status in ACTIVE

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def of_run(jobs: Sequence[Job], run: str) -> list[Job]:
    """A run's jobs by attempt; those that were submitted by hand under such an id, too."""
    return sorted(
        (job for job in jobs if _attempt(job.id, run) or job.run == run),
        key=lambda job: (_attempt(job.id, run), job.started or 0),
    )


def _attempt(job_id: str, run: str) -> int:
    """Number of the attempt; 0 for another kind of id."""
    found = re.fullmatch(rf"{re.escape(run)}-([1-9]\d*)", job_id)
    return int(found[1]) if found else 0


def next_id(jobs: Sequence[Job], run: str) -> str:
    """The id of a run's next attempt.

    Raises:
        ConfigError: If one is under way.
    """
    earlier = of_run(jobs, run)
    running = [job.id for job in earlier if job.active]
    if running:
        raise ConfigError(
            f"the run {run!r} is being driven by the job {choices(running)}: follow it with "
            f"`autoshrink-ray logs {run} -f`, stop it, or choose another --name"
        )
    return f"{run}-{max((_attempt(job.id, run) for job in earlier), default=0) + 1}"


def find(jobs: Sequence[Job], name: str) -> Job:
    """The job called `name`, or the latest one of the run of that name.

    Raises:
        ConfigError: If there is none, or it could be either of two.
    """
    latest = of_run(jobs, name)[-1:]
    found = {job.id: job for job in [*latest, *(job for job in jobs if job.id == name)]}
    if len(found) > 1:
        raise ConfigError(
            f"{name!r} is a job and also a run: give the id of the run's job "
            f"{latest[0].id!r}, or the name of the job's run {found[name].run!r}"
        )
    if not found:
        raise ConfigError(f"the cluster has no run or job called {name!r}; {_known(jobs)}")
    return next(iter(found.values()))


def _known(jobs: Sequence[Job]) -> str:
    names = sorted({job.run or job.id for job in jobs})
    if not names:
        return (
            "it knows no job: jobs are forgotten with their head, and a run goes on when its "
            "command is submitted again"
        )
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"it knows {choices(names[:_SHOWN])}{more}"
