"""One stream per candidate, grouped by round: its curve, its result and its row of HPARAMS.

A stream is one file, written once, whose name follows from what it holds. So a file that is there
need not be written again, and one that holds something else does not count.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

from tensorboard.compat.proto.event_pb2 import Event

from autoshrink_ray.counting import Place
from autoshrink_ray.files import digest
from autoshrink_ray.objective import Objective
from autoshrink_ray.records import Evaluation
from autoshrink_ray.tensorboard import events, hparams, tags

BEST = 100
"""Candidates that a summary shows beside the rounds' winners."""

_LAYOUT = "2"
"""Another one makes all files anew: what a stream holds of an evaluation has changed."""


@dataclass(frozen=True)
class Streams:
    """Names and contents of a run's candidate streams.

    Attributes:
        objective: The run's score.
        many: Whether the run has several searches.
    """

    objective: Objective
    many: bool

    def stream(self, evaluation: Evaluation) -> str:
        """Stream of a candidate: its folder below TensorBoard's log directory."""
        search, number, index = evaluation.candidate.place
        group = f"search-{search:03d}/" if self.many else ""
        return f"{group}round-{number:02d}/candidate-{index:02d}"

    def name(self, evaluation: Evaluation) -> str:
        """File of a candidate below TensorBoard's log directory."""
        said = (_LAYOUT, self.objective.cost_weight, evaluation.model_dump_json())
        unique = digest("\n".join(map(str, said)).encode())
        return f"{self.stream(evaluation)}/{events.event_name(evaluation.ended, unique[:16])}"

    def content(self, evaluation: Evaluation) -> bytes:
        """What that file holds."""
        ended = evaluation.ended
        found = hparams.results(evaluation, self.objective)
        return events.encoded(
            [
                events.version(ended),
                events.restart(0, ended),  # it may have been evaluated again
                *self._curve(evaluation),
                events.scalars(evaluation.candidate.round, found, ended),
                events.summary(0, hparams.row(evaluation), ended),
            ]
        )

    def _curve(self, evaluation: Evaluation) -> Iterator[Event]:
        """Quality after each epoch, as if all epochs had taken equally long."""
        curve, tag = evaluation.measurement.curve, tags.curve(self.objective.quality_metric)
        span = max(0.0, evaluation.ended - evaluation.started)
        for epoch, value in enumerate(curve, 1):
            seconds = evaluation.ended - span * (1 - epoch / len(curve))
            yield events.scalars(epoch, {tag: value}, seconds)


class Best:
    """The best candidates so far: by score, of equal ones the earlier.

    Failed candidates and scores that are not finite are never among them.

    Args:
        objective: Score to maximise.
        size: How many there are at most.
    """

    def __init__(self, objective: Objective, size: int) -> None:
        self._objective = objective
        self._size = size
        self._heap: list[tuple[float, Place]] = []

    def add(self, evaluation: Evaluation) -> bool:
        """Whether a further candidate is one of them."""
        score = self._objective.score(evaluation.measurement.metrics)
        if not evaluation.complete or not math.isfinite(score):
            return False
        entry = (score, _reversed(evaluation.candidate.place))
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
            return True
        return heapq.heappushpop(self._heap, entry) != entry

    @property
    def places(self) -> set[Place]:
        """Their places in the run."""
        return {_reversed(place) for _, place in self._heap}


def _reversed(place: Place) -> Place:
    """In an order in which the earlier place is the larger one; and back."""
    search, number, index = place
    return (-search, -number, -index)
