"""Which candidates have a stream, and so a row on the HPARAMS page."""

from __future__ import annotations

from collections.abc import Collection

from autoshrink_ray.counting import Place
from autoshrink_ray.records import Evaluation
from autoshrink_ray.storage import Folder
from autoshrink_ray.tensorboard import candidates
from autoshrink_ray.tensorboard.candidates import Best, Streams
from autoshrink_ray.tensorboard.known import Known
from autoshrink_ray.tensorboard.several import discard, each


class Rows:
    """Keeps a file for each candidate, or for the rounds' winners and the best ones.

    Args:
        folder: TensorBoard's log directory.
        known: What is known of the run.
        streams: How the files are called, and what is in them.
        full: Whether each candidate has one.
    """

    def __init__(self, folder: Folder, known: Known, streams: Streams, *, full: bool) -> None:
        self._folder = folder
        self._known = known
        self._streams = streams
        self._full = full
        self._best = Best(streams.objective, candidates.BEST)
        self._files: dict[Place, str] = {}
        for place in known.places:
            self._best.add(known.evaluation(place))

    @property
    def files(self) -> set[str]:
        """Files that are there, below the log directory."""
        return set(self._files.values())

    def add(self, evaluation: Evaluation) -> None:
        """Takes a new evaluation into account, when it is settled next."""
        self._best.add(evaluation)

    def settle(self, there: Collection[str] = ()) -> None:
        """Writes the files that are missing and deletes those of candidates that fell behind.

        Several files are written side by side, each once and whole.

        Args:
            there: Files that earlier drivers left.

        Raises:
            StorageError: If that is not possible.
        """
        wanted = self._wanted()
        missing = [self._known.evaluation(place) for place in wanted - self._files.keys()]
        names = {
            evaluation.candidate.place: self._streams.name(evaluation) for evaluation in missing
        }
        self._files |= {place: name for place, name in names.items() if name in there}
        left = [e for e in missing if e.candidate.place not in self._files]
        each(self._write, left)
        each(self._discard, sorted(self._files.keys() - wanted))

    def _wanted(self) -> set[Place]:
        known = self._known
        return known.places if self._full else known.winners | self._best.places

    def _write(self, evaluation: Evaluation) -> None:
        name = self._streams.name(evaluation)
        self._folder.write(name, self._streams.content(evaluation))
        self._files[evaluation.candidate.place] = name

    def _discard(self, place: Place) -> None:
        discard(self._folder, self._files[place])
        del self._files[place]
