"""The facts of a search: frozen values that validate themselves."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from autoshrink_ray.topology import Edge, Topology

Metrics = dict[str, float]
Natural = Annotated[int, Field(ge=0)]


class Record(BaseModel, frozen=True, extra="forbid", ser_json_inf_nan="strings"):
    """Base of all records: immutable plain data, unknown fields refused."""


class Candidate(Record):
    """One topology that a policy wants evaluated.

    Attributes:
        search: Which search of the run asks.
        round: Round, counted from 1.
        index: Position in the round's draw, from 0.
        topology: The cell in the search's own numbering, pruned.
        removed: Edge that the parent lost; None where candidates have no parent.
    """

    search: Natural
    round: Annotated[int, Field(ge=1)]
    index: Natural
    topology: Topology
    removed: Edge | None = None

    @property
    def place(self) -> tuple[int, int, int]:
        """(search, round, index): names the candidate within its run."""
        return (self.search, self.round, self.index)


class Measurement(Record):
    """What training one topology gave: the part that depends on topology, seed and settings.

    Attributes:
        status: `complete` has finite metrics; `failed` has a reason; `out_of_memory` is tried
            again alone on its device before it counts as failed.
        metrics: `accuracy` or `perplexity`, `macs`, `params`, and whatever a score reads.
        curve: Validation quality after each epoch.
        epochs: Epochs that were trained, the last one perhaps in part.
        stop_reason: Rule that ended the training.
        reason: Why it failed; empty otherwise.
        seconds: Wall time of the training.
        device: What it ran on, for instance `cpu` or a GPU's model name.
        build: Library build that computed it, for instance `torch 2.14.1+cpu`.
    """

    status: Literal["complete", "failed", "out_of_memory"]
    metrics: Metrics = {}
    curve: tuple[float, ...] = ()
    epochs: Natural = 0
    stop_reason: str = ""
    reason: str = ""
    seconds: Annotated[float, Field(ge=0)] = 0.0
    device: str = ""
    build: str = ""

    @model_validator(mode="after")
    def _complete_is_finite(self) -> Measurement:
        if self.status == "complete":
            if not self.metrics:
                raise ValueError("a complete measurement has metrics, got none")
            for name, value in self.metrics.items():
                if not math.isfinite(value):
                    raise ValueError(f"a complete measurement is finite, got {name} = {value}")
        elif not self.reason:
            raise ValueError(f"a measurement with status {self.status!r} has a reason, got none")
        return self


class Evaluation(Record):
    """A candidate with its measurement: what the ledger keeps and a policy hears.

    Attributes:
        candidate: What was asked for.
        seed: Seed of the training, from the evaluation seed and the topology's key.
        measurement: What came out; `complete` or `failed`.
        cached: The measurement was taken over from an isomorphic candidate or another run.
        attempts: Trials it took, lost ones included; 0 if cached.
        lost_seconds: Wall seconds of those of them that gave no result.
        node: Host that trained it.
        queued: Unix time at which the driver handed it out.
        started: Unix time at which training began.
        ended: Unix time at which training ended.
    """

    candidate: Candidate
    seed: Natural
    measurement: Measurement
    cached: bool = False
    attempts: Natural = 1
    lost_seconds: Annotated[float, Field(ge=0)] = 0.0
    node: str = ""
    queued: float = 0.0
    started: float = 0.0
    ended: float = 0.0

    @model_validator(mode="after")
    def _is_final(self) -> Evaluation:
        if self.measurement.status == "out_of_memory":
            raise ValueError("an evaluation is complete or failed, got 'out_of_memory'")
        return self

    @property
    def complete(self) -> bool:
        """Whether it can be ranked."""
        return self.measurement.status == "complete"


class Ranked(Record):
    """One line of a decision's ranking."""

    index: Natural
    score: float


class Decision(Record):
    """How a round ended. A function of configuration and seed alone: no clock, no host.

    Attributes:
        search: Which search of the run.
        round: Round that was decided, from 1.
        parent: Cell that the candidates came from; None where they have no parent.
        removed: Edge that went, None where candidates have no parent.
        winner: Index of the best candidate.
        topology: The winner's cell: the next round's parent.
        score: The winner's score.
        metrics: The winner's metrics.
        ranking: Usable candidates, best first.
        failed: Indices of the candidates without a usable result.
        final: Whether the search ends here.
    """

    search: Natural
    round: Annotated[int, Field(ge=1)]
    parent: Topology | None
    removed: Edge | None
    winner: Natural
    topology: Topology
    score: float
    metrics: Metrics
    ranking: tuple[Ranked, ...]
    failed: tuple[Natural, ...] = ()
    final: bool

    @model_validator(mode="after")
    def _is_finite(self) -> Decision:
        for name, value in {"score": self.score, **self.metrics}.items():
            if not math.isfinite(value):
                raise ValueError(f"a decision is finite, got {name} = {value}")
        return self
