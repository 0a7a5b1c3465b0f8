"""The stream of one search: a step per evaluation, and a step per round with its picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tensorboard.compat.proto.event_pb2 import Event

from autoshrink_ray.drawing import cell_picture
from autoshrink_ray.objective import Objective
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.tensorboard import events, tags
from autoshrink_ray.tensorboard.events import EventFile
from autoshrink_ray.topology import Topology

_SCALE = 1.0
"""Pixels of the image per pixel of the picture."""


class SearchStream:
    """Writes what happens in a search, as a function of its evaluations and decisions.

    Evaluations are shown in the order of the draw, each once all before it are there. So the
    steps are the same however many workers there are, and after a search was killed.

    Args:
        file: Where it goes.
        objective: The run's score.
        begin: Unix time before which nothing happened.
    """

    def __init__(self, file: EventFile, objective: Objective, begin: float) -> None:
        self.file = file
        self._objective = objective
        self._round = 1
        self._open: dict[int, Evaluation] = {}
        self._shown = 0
        self._step = 0
        self._best = -math.inf
        self._failed = 0
        self._cached = 0
        self._first: Topology | None = None
        self._seconds = begin

    def evaluation(self, evaluation: Evaluation) -> None:
        """Takes an evaluation of the open round; others are passed over."""
        if evaluation.candidate.round != self._round:
            return
        self._open[evaluation.candidate.index] = evaluation
        while self._shown in self._open:
            self._show(self._open[self._shown])
            self._shown += 1

    def decision(self, decision: Decision, found: Sequence[Evaluation]) -> None:
        """Closes the open round.

        Args:
            decision: How it ended.
            found: All that is known of its candidates, in the order of the draw.
        """
        for evaluation in found:
            if evaluation.candidate.index >= self._shown:
                self._show(evaluation)
        self._round, self._open, self._shown = decision.round + 1, {}, 0
        self._seconds = ended = max((e.ended for e in found), default=self._seconds)
        self.file.append(
            events.scalars(decision.round, _outcome(decision, self._objective), ended),
            events.scalars(decision.round, _work(found), ended),
        )
        self.file.append(self._picture(decision, found, ended))

    def _picture(
        self, decision: Decision, evaluations: Sequence[Evaluation], seconds: float
    ) -> Event:
        """The parent with the edge that went and the scores of all that were tried.

        All parents of a search have the places of the first one.
        """
        cell, gone = decision.parent or decision.topology, decision.removed
        if self._first is None or not set(cell.edges) <= set(self._first.edges):
            self._first = cell
        scores = {e.candidate.removed: score_of(e, self._objective) for e in evaluations}
        picture = cell_picture(
            cell,
            removed=gone,
            values={edge: s for edge, s in scores.items() if edge is not None and s is not None},
            title=f"round {decision.round}" + (f": edge {gone[0]}-{gone[1]} goes" if gone else ""),
            within=self._first,
        )
        size = (picture.width, picture.height)
        return events.image(decision.round, tags.CELL, picture.png(_SCALE), size, seconds)

    def _show(self, evaluation: Evaluation) -> None:
        self._step += 1
        self._failed += not evaluation.complete
        self._cached += evaluation.cached
        values: dict[str, float] = {
            tags.FAILED_SO_FAR: self._failed,
            tags.CACHED_SO_FAR: self._cached,
        }
        score = score_of(evaluation, self._objective)
        if score is not None:
            self._best = max(self._best, score)
            values[tags.SCORE] = score
        if math.isfinite(self._best):
            values[tags.BEST_SO_FAR] = self._best
        self.file.append(events.scalars(self._step, values, evaluation.ended))


def score_of(evaluation: Evaluation, objective: Objective) -> float | None:
    """Score of a candidate; None if it failed or its score is not finite."""
    score = objective.score(evaluation.measurement.metrics) if evaluation.complete else math.nan
    return score if math.isfinite(score) else None


def _outcome(decision: Decision, objective: Objective) -> dict[str, float]:
    scores = [line.score for line in decision.ranking]
    quality = objective.quality_metric
    measured = {tags.MACS: "macs", tags.PARAMS: "params", tags.quality(quality): quality}
    return {
        tags.BEST_SCORE: decision.score,
        tags.MEAN_SCORE: sum(scores) / len(scores),
        tags.EDGES: len(decision.topology.edges),
        **{t: decision.metrics[name] for t, name in measured.items() if name in decision.metrics},
    }


def _work(evaluations: Sequence[Evaluation]) -> dict[str, float]:
    """What a round took; a round of copies only took no time."""
    trained = [e for e in evaluations if not e.cached]
    begin = min((e.started for e in trained), default=0.0)
    seconds = max((e.ended for e in trained), default=0.0) - begin
    busy = sum(max(0.0, e.ended - e.started) for e in trained)
    return {
        tags.SECONDS: max(0.0, seconds),
        tags.BUSY: busy / seconds if seconds > 0 else 0.0,
        tags.FAILURES: sum(not e.complete for e in evaluations),
        tags.CACHE_HITS: sum(e.cached for e in evaluations),
    }
