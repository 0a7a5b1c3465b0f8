"""Checkpoints of a training: two files each, of which the second makes the first count."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from autoshrink_ray.errors import FileFormatError, StorageError
from autoshrink_ray.files import digest, parse_file
from autoshrink_ray.objective import objective
from autoshrink_ray.storage import Folder
from trainables.final.contracts import State

CHECKPOINT_SCHEMA_VERSION = 1

EpochRecord = dict[str, int | float]
"""`epoch`, `attempt`, `seconds` and the metrics of a finished epoch."""

_RECENT = 2
"""Newest checkpoints that are kept, beside the best one."""

_NAME = re.compile(r"(?:.*/)?epoch-(\d+)\.json")


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """The JSON file of a checkpoint; written last, so the tensors that it names are there.

    Attributes:
        schema_version: Version of this format.
        epoch: Epochs that are finished.
        attempt: How often the training had been put back.
        values: `State.values`.
        history: Record of each epoch that led here, oldest first.
        sha256: Digest of the tensor file.
        size: Bytes of the tensor file.
    """

    schema_version: int = Field(
        default=CHECKPOINT_SCHEMA_VERSION, ge=1, le=CHECKPOINT_SCHEMA_VERSION
    )
    epoch: int = Field(ge=1)
    attempt: int = Field(ge=0)
    values: dict[str, Any]
    history: list[EpochRecord] = Field(min_length=1)
    sha256: str
    size: int = Field(ge=0)

    @property
    def age(self) -> tuple[int, int]:
        """Sorts checkpoints: what came after a training was put back is newer."""
        return self.attempt, self.epoch


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and is intact.

    Attributes:
        manifest: Its description.
        state: What a training goes on from.
    """

    manifest: Manifest
    state: State


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: Where they are.
        quality: Metric that tells which is better: `accuracy` or `perplexity`.
        warn: Told of each damaged checkpoint that is passed over.
    """

    def __init__(
        self, folder: Folder, quality: str, warn: Callable[[str], None] = lambda text: None
    ) -> None:
        self._folder = folder
        self._quality = quality
        self._warn = warn

    def write(self, state: State, history: Sequence[EpochRecord]) -> None:
        """Writes a checkpoint, then deletes those that are neither recent nor the best.

        Args:
            state: What a training goes on from.
            history: Records of all epochs; the last one's `epoch` and `attempt` are the
                checkpoint's.

        Raises:
            StorageError: If it cannot be written; all earlier ones are then still there, but for
                one of the same epoch from before the training was put back.
        """
        last = history[-1]
        epoch = int(last["epoch"])
        content = save(_separate(state.tensors))
        manifest = Manifest(
            epoch=epoch,
            attempt=int(last["attempt"]),
            values=dict(state.values),
            history=list(history),
            sha256=digest(content),
            size=len(content),
        )
        self._folder.write(_tensors(epoch), content)
        text = json.dumps(manifest.model_dump(mode="json"), indent=1)
        self._folder.write(_manifest(epoch), text.encode())
        self._delete_old(manifest)

    def latest(self) -> Checkpoint | None:
        """The newest intact checkpoint."""
        return self._first_intact(sorted(self._manifests(), key=lambda m: m.age, reverse=True))

    def best(self) -> Checkpoint | None:
        """The intact checkpoint with the best quality; of equal ones the earliest."""
        return self._first_intact(sorted(self._manifests(), key=self._rank))

    def read(self, epoch: int, attempt: int) -> Checkpoint:
        """The checkpoint of one epoch.

        Raises:
            StorageError: If it cannot be read.
            FileFormatError: If it is damaged, or of another attempt.
        """
        manifest = self._manifest(epoch)
        if manifest.attempt != attempt:
            raise FileFormatError(
                f"{self._place(_manifest(epoch))} is of attempt {manifest.attempt}, not {attempt}"
            )
        return self._load(manifest)

    def history(self) -> list[EpochRecord]:
        """Records of all epochs up to the newest manifest; its tensors are not looked at."""
        newest = max(self._manifests(), key=lambda manifest: manifest.age, default=None)
        return newest.history if newest else []

    def tidy(self) -> None:
        """Deletes what a process that was killed left behind: files without a manifest."""
        epochs = self._epochs()
        complete = {name for epoch in epochs for name in (_manifest(epoch), _tensors(epoch))}
        for name in self._folder.files():
            if name.startswith("epoch-") and name not in complete:
                self._folder.remove(name)

    def _rank(self, manifest: Manifest) -> tuple[float, tuple[int, int]]:
        points = objective(self._quality).quality(manifest.history[-1][self._quality])
        return math.inf if math.isnan(points) else -points, manifest.age

    def _epochs(self) -> list[int]:
        found = (_NAME.fullmatch(name) for name in self._folder.files())
        return [int(match[1]) for match in found if match]

    def _manifests(self) -> Iterator[Manifest]:
        for epoch in self._epochs():
            try:
                yield self._manifest(epoch)
            except (FileFormatError, StorageError) as error:
                self._warn(f"passed over a checkpoint: {error}")

    def _manifest(self, epoch: int) -> Manifest:
        name = _manifest(epoch)
        place = self._place(name)
        found = parse_file(Manifest, self._folder.read(name), place, CHECKPOINT_SCHEMA_VERSION)
        if found.epoch != epoch or found.history[-1].get("epoch") != epoch:
            raise FileFormatError(f"{place} is damaged: it is of epoch {found.epoch}")
        if self._quality not in found.history[-1]:
            raise FileFormatError(f"{place} is damaged: its epoch has no {self._quality}")
        return found

    def _first_intact(self, manifests: Sequence[Manifest]) -> Checkpoint | None:
        for manifest in manifests:
            try:
                return self._load(manifest)
            except (FileFormatError, StorageError) as error:
                self._warn(f"passed over a checkpoint: {error}")
        return None

    def _load(self, manifest: Manifest) -> Checkpoint:
        name = _tensors(manifest.epoch)
        content = self._folder.read(name)
        if len(content) != manifest.size or digest(content) != manifest.sha256:
            raise FileFormatError(
                f"{self._place(name)} is damaged: it is not what its manifest describes"
            )
        try:
            return Checkpoint(manifest, State(load(content), manifest.values))
        except SafetensorError as error:
            raise FileFormatError(f"{self._place(name)} is damaged: {error}") from error

    def _delete_old(self, newest: Manifest) -> None:
        """Deletes superseded checkpoints; one that cannot be deleted is only in the way."""
        try:
            manifests = [*self._manifests(), newest]
            by_age = sorted({manifest.age: manifest for manifest in manifests}.items())
            kept = {manifest.epoch for _, manifest in by_age[-_RECENT:]}
            kept |= {min(manifests, key=self._rank).epoch, newest.epoch}
            for epoch in sorted({manifest.epoch for manifest in manifests} - kept):
                self._folder.remove(_manifest(epoch))  # first: without it the tensors do not count
                self._folder.remove(_tensors(epoch))
        except StorageError as error:
            self._warn(str(error))

    def _place(self, name: str) -> str:
        return f"{self._folder.location}/{name}"


def _tensors(epoch: int) -> str:
    return f"epoch-{epoch:05d}.safetensors"


def _manifest(epoch: int) -> str:
    return f"epoch-{epoch:05d}.json"


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, none of which shares memory with another one."""
    separate: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        if own.untyped_storage().data_ptr() in seen:
            own = own.clone()
        seen.add(own.untyped_storage().data_ptr())
        separate[name] = own
    return separate
