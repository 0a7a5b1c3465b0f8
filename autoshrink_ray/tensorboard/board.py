"""All streams of a run, kept as a function of what its ledger holds."""

from __future__ import annotations

import time

from autoshrink_ray.policies.base import best_decision
from autoshrink_ray.records import Decision, Evaluation
from autoshrink_ray.results import Run
from autoshrink_ray.storage import Folder
from autoshrink_ray.tensorboard import events, figures, hparams, tags, texts
from autoshrink_ray.tensorboard.candidates import Streams
from autoshrink_ray.tensorboard.events import EventFile
from autoshrink_ray.tensorboard.known import Known
from autoshrink_ray.tensorboard.layout import layout
from autoshrink_ray.tensorboard.rows import Rows, each
from autoshrink_ray.tensorboard.search_stream import SearchStream

SEARCH = "search"
"""Stream of the whole run; where a run is a single search, that search's, too."""

_SETTLE = 5.0
"""Seconds after which new candidates get their files, where no round ends before."""

_PUT = 30.0
"""Seconds after which a file that cannot grow in place is put again, whole."""


class Board:
    """Writes a run's streams: all of what is known when it starts, then what comes.

    A run that goes on begins with new files of its searches, written from the ledger, and deletes
    the old ones; a candidate's file stays if it is there and holds what it should. So what is
    shown does not depend on how often a run was stopped.

    Args:
        run: The run; its ledger is what is known.
        folder: TensorBoard's log directory.
        full: Whether each candidate has a stream; else only the best ones and the rounds' winners.
    """

    def __init__(self, run: Run, folder: Folder, *, full: bool) -> None:
        self._run = run
        self._folder = folder
        self._full = full
        self._known = Known(run)
        self._many = len(run.searches) > 1
        self._timer = figures.Timer()

    def start(self) -> None:
        """Writes what is known already, and deletes what does not belong to it.

        Raises:
            StorageError: If that is not possible.
        """
        self._late = False
        self._settled_at = self._put_at = time.monotonic()
        self._undrawn: set[int] = set()
        self._leader: Decision | None = None
        self._closed = 0
        self._main = EventFile(self._folder.child(SEARCH))
        self._streams: dict[int, SearchStream] = {}
        streams = Streams(self._run.objective, self._many)
        self._rows = Rows(self._folder, self._known, streams, full=self._full)
        there = self._files()
        self._describe()
        self._replay()
        self._rows.settle(there)
        self._write(now=True)
        each(self._folder.remove, sorted(there - self._rows.files - self._growing.keys()))

    def _files(self) -> set[str]:
        names = self._folder.files(recursive=True)
        return {name for name in names if name.rpartition("/")[2].startswith(events.PREFIX)}

    def _describe(self) -> None:
        now = time.time()
        quality = self._run.objective.quality_metric
        self._main.append(
            events.restart(0, now),
            events.summary(0, [hparams.columns(self._run), layout(quality)], now),
            events.text(0, tags.CONFIGURATION, texts.configuration(self._run), now),
        )

    def _replay(self) -> None:
        """Feeds the streams what is known, as if it came just now."""
        for search, number in self._known.rounds:
            for evaluation in self._known.evaluations(search, number):
                self._stream(search).evaluation(evaluation)
            if (search, number) in self._known.decisions:
                self._close(self._known.decisions[search, number])

    def _stream(self, search: int) -> SearchStream:
        if search not in self._streams:
            file = self._main
            if self._many:
                file = EventFile(self._folder.child(_stream_name(search)))
                file.append(events.restart(0, time.time()))
            self._streams[search] = SearchStream(file, self._run.objective)
        return self._streams[search]

    def evaluation(self, evaluation: Evaluation) -> None:
        """Shows an evaluation.

        Raises:
            StorageError: If it cannot be written; the round's end tries it again.
        """
        candidate = evaluation.candidate
        self._late |= candidate.place[:2] in self._known.decisions
        self._known.add(evaluation)
        self._stream(candidate.search).evaluation(evaluation)
        self._rows.add(evaluation)
        self._write(now=False)

    def decision(self, decision: Decision) -> None:
        """Shows how a round ended.

        Raises:
            StorageError: If it cannot be written; the next round's end tries it again.
        """
        self._known.decisions[decision.search, decision.round] = decision
        self._close(decision)
        if self._timer.is_due:
            self._draw()
        self._settle()
        self._write(now=decision.final)

    def end(self) -> None:
        """Shows what is left to show when the driver ends.

        Raises:
            StorageError: If it cannot be written.
        """
        if self._late:  # an evaluation that was lost has been made again for an earlier round
            self.start()
        self._draw()
        self._write(now=True)

    def _close(self, decision: Decision) -> None:
        search, number = decision.search, decision.round
        stream = self._stream(search)
        stream.decision(decision, self._known.evaluations(search, number))
        for evaluation in self._known.evaluations(search, number + 1):
            stream.evaluation(evaluation)
        self._undrawn.add(search)
        self._closed += 1
        self._leader = best_decision(filter(None, [self._leader, decision]))
        if self._leader == decision:
            text = texts.found_cell(self._run, decision)
            self._main.append(events.text(self._closed, tags.FOUND, text, time.time()))

    def _draw(self) -> None:
        """Draws the figures of what has changed since they were drawn last."""
        if not self._undrawn:
            return
        begin, now, run = time.monotonic(), time.time(), self._known.run
        for search in sorted(self._undrawn):
            step = max(number for other, number in self._known.decisions if other == search)
            self._streams[search].file.append(figures.importance(run, search, step, now))
        self._undrawn.clear()
        self._main.append(figures.pareto(run, self._closed, now))
        self._timer.took(time.monotonic() - begin)

    @property
    def _growing(self) -> dict[str, EventFile]:
        """The files that grow while the run goes, by name below the log directory."""
        found = {f"{SEARCH}/{self._main.name}": self._main}
        if self._many:
            for search, stream in self._streams.items():
                found[f"{_stream_name(search)}/{stream.file.name}"] = stream.file
        return found

    def _settle(self) -> None:
        self._rows.settle()
        self._settled_at = time.monotonic()

    def _write(self, *, now: bool) -> None:
        """Writes what is new; what costs more than a line in a file, only now and then.

        Args:
            now: Whether all of it is to be there when this returns.
        """
        behind = [file for file in self._growing.values() if file.is_behind]
        in_place = [file for file in behind if file.grows_in_place]
        for file in in_place:
            file.flush()
        if now or time.monotonic() >= self._settled_at + _SETTLE:
            self._settle()
        if now or time.monotonic() >= self._put_at + _PUT:
            each(EventFile.flush, [file for file in behind if not file.grows_in_place])
            self._put_at = time.monotonic()


def _stream_name(search: int) -> str:
    return f"{SEARCH}-{search:03d}"
