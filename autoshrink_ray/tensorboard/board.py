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
from autoshrink_ray.tensorboard.rows import Rows
from autoshrink_ray.tensorboard.search_stream import SearchStream
from autoshrink_ray.tensorboard.several import discard, each
from autoshrink_ray.tensorboard.timer import Timer

SEARCH = "search"
"""Stream of the whole run; where a run is a single search, that search's, too."""

_SETTLE = 5.0
"""Seconds after which new candidates get their files, where no round ends before."""

_PUT = 30.0
"""Seconds after which a file that cannot grow in place is put again, whole."""

_DRAW = 5.0
"""Seconds between two drawings of the whole run's figures."""


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

    _main: EventFile
    _streams: dict[int, SearchStream]
    _leaders: dict[int, Decision]
    _undrawn: set[int]
    _rows: Rows
    _incomplete: bool

    def __init__(self, run: Run, folder: Folder, *, full: bool) -> None:
        self._run = run
        self._folder = folder
        self._full = full
        self._known = Known(run)
        self._many = len(run.searches) > 1
        self._settling, self._putting, self._drawing = Timer(_SETTLE), Timer(_PUT), Timer(_DRAW)
        self._begin()

    def _begin(self) -> None:
        """Prepares new files of the searches; writes nothing yet."""
        self._incomplete = True
        self._main = EventFile(self._folder.child(SEARCH))
        self._streams, self._leaders, self._undrawn = {}, {}, set()
        streams = Streams(self._run.objective, self._many)
        self._rows = Rows(self._folder, self._known, streams, full=self._full)
        self._describe()
        self._replay()

    def start(self) -> None:
        """Writes what is known already, and deletes what does not belong to it.

        Raises:
            StorageError: If that is not possible; `end` tries it again.
        """
        there = self._files()
        with self._settling.measured():
            self._rows.settle(there)
        self._write(now=True)
        old = there - self._rows.files - self._growing.keys()
        each(lambda name: discard(self._folder, name), sorted(old))
        self._incomplete = False

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
            self._streams[search] = SearchStream(file, self._run.objective, self._known.begin)
        return self._streams[search]

    def evaluation(self, evaluation: Evaluation) -> None:
        """Shows an evaluation.

        Raises:
            StorageError: If it cannot be written; the round's end tries it again.
        """
        candidate = evaluation.candidate
        self._incomplete |= candidate.place[:2] in self._known.decisions
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
        try:
            self._close(decision)
            if self._drawing.is_due:
                self._draw()
        finally:  # a picture that cannot be drawn must not keep back the rest
            self._write(now=decision.final, round_ends=True)

    def end(self) -> None:
        """Shows what is left to show when the driver ends.

        Raises:
            StorageError: If it cannot be written.
        """
        if self._incomplete and not self._main.is_gone:
            self._begin()
            self.start()
        try:
            self._draw()
        finally:
            self._write(now=True)

    def _close(self, decision: Decision) -> None:
        search, number = decision.search, decision.round
        stream = self._stream(search)
        stream.decision(decision, self._known.evaluations(search, number))
        for evaluation in self._known.evaluations(search, number + 1):
            stream.evaluation(evaluation)
        self._undrawn.add(search)
        best = best_decision(filter(None, [self._leaders.get(search), decision]))
        if best == decision:
            self._leaders[search] = decision
            text = texts.found_cell(self._run, decision)
            stream.file.append(events.text(number, tags.FOUND, text, time.time()))

    def _draw(self) -> None:
        """Draws the figures of what has changed since they were drawn last."""
        if not self._undrawn:
            return
        now, run = time.time(), self._known.run
        with self._drawing.measured():
            for search in sorted(self._undrawn):
                step = max(number for other, number in self._known.decisions if other == search)
                self._streams[search].file.append(figures.importance(run, search, step, now))
            self._main.append(figures.pareto(run, len(self._known.decisions), now))
        self._undrawn.clear()

    @property
    def _growing(self) -> dict[str, EventFile]:
        """The files that grow while the run goes, by name below the log directory."""
        found = {f"{SEARCH}/{self._main.name}": self._main}
        if self._many:
            for search, stream in self._streams.items():
                found[f"{_stream_name(search)}/{stream.file.name}"] = stream.file
        return found

    def _write(self, *, now: bool, round_ends: bool = False) -> None:
        """Writes what is new; what costs more than a line in a file, only now and then.

        Args:
            now: Whether all of it is to be there when this returns.
            round_ends: Whether this is an occasion to settle which candidates have a file.
        """
        behind = [file for file in self._growing.values() if file.is_behind]
        for file in behind:
            if file.grows_in_place:
                file.flush()
        if now or self._settling.is_due or (round_ends and self._settling.is_quick):
            with self._settling.measured():
                self._rows.settle()
        if now or self._putting.is_due:
            with self._putting.measured():
                each(EventFile.flush, [file for file in behind if not file.grows_in_place])


def _stream_name(search: int) -> str:
    return f"{SEARCH}-{search:03d}"
