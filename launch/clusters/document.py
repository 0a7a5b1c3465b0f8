"""Reading a cluster file: safe YAML, of bounded size, and of a kind that is known."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from autoshrink_ray.errors import FileFormatError, StorageError, choices

_BYTES = 2**20
_VALUES = 100_000
_GROUP = "ray.io/"
_MERGE = "tag:yaml.org,2002:merge"
_KEYS = ("tag:yaml.org,2002:str", _MERGE)


class Kind(StrEnum):
    """What a document describes."""

    RAY_UP = "ray up"
    RAY_CLUSTER = "RayCluster"
    RAY_JOB = "RayJob"


KUBERNETES = (Kind.RAY_CLUSTER, Kind.RAY_JOB)


@dataclass(frozen=True)
class Wanted:
    """What a run will ask of the cluster.

    Attributes:
        cpus_per_trial: CPUs of a trial.
        gpus_per_trial: GPUs of a trial.
        storage: Where runs are kept; None if nobody said so.
    """

    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    storage: str | None = None


@dataclass(frozen=True)
class Document:
    """One cluster, as its file says it.

    Attributes:
        kind: What it is.
        body: All of it.
        wanted: What a run will ask of it.
    """

    kind: Kind
    body: Mapping[str, Any]
    wanted: Wanted = field(default_factory=Wanted)

    @property
    def cluster_path(self) -> str:
        """Where the cluster's own settings stand, with a dot at the end; empty for the top."""
        return {Kind.RAY_UP: "", Kind.RAY_CLUSTER: "spec.", Kind.RAY_JOB: "spec.rayClusterSpec."}[
            self.kind
        ]

    @property
    def cluster(self) -> Mapping[str, Any]:
        """The cluster's own settings."""
        return mapping(at(self.body, *self.cluster_path.split(".")[:-1]))


def read(path: Path) -> list[Document]:
    """The clusters of a file; other Kubernetes objects beside them are passed over.

    Raises:
        StorageError: If it cannot be read.
        FileFormatError: If it is no YAML, too large, or describes no cluster.
    """
    found = [one for one in _parse(path) if one is not None]
    documents = [describe(path, one) for one in found]
    clusters = [one for one in documents if one is not None]
    if not clusters:
        kinds = choices(f"a {kind} object" for kind in KUBERNETES)
        raise FileFormatError(
            f"{path}: describes no cluster: a `ray up` file has cluster_name and provider; "
            f"else there must be {kinds}"
        )
    return clusters


def at(value: Any, *path: str | int) -> Any:
    """What stands at a place; None if there is nothing."""
    for step in path:
        if isinstance(step, int):
            value = value[step] if isinstance(value, list) and step < len(value) else None
        else:
            value = value.get(step) if isinstance(value, Mapping) else None
    return value


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as it is, anything else as an empty one: another rule tells of wrong types."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    """A list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """A finite number, also where it is written as a string; None for anything else."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def describe(path: Path, body: Any) -> Document | None:
    """What a document is; None for a Kubernetes object of another kind.

    Args:
        path: Its file, for messages.
        body: What was read.

    Raises:
        FileFormatError: If it is no mapping.
    """
    if not isinstance(body, Mapping):
        raise FileFormatError(f"{path}: must be a mapping, got a {type(body).__name__}")
    if "kind" not in body and "apiVersion" not in body:
        known = "provider" in body or "cluster_name" in body
        return Document(Kind.RAY_UP, body, _said(mapping(body.get("metadata")))) if known else None
    if body.get("kind") not in KUBERNETES or not str(body.get("apiVersion")).startswith(_GROUP):
        return None
    notes = mapping(at(body, "metadata", "annotations"))
    said = {
        key.removeprefix("autoshrink-ray/").replace("-", "_"): value
        for key, value in notes.items()
        if isinstance(key, str)
    }
    return Document(Kind(body["kind"]), body, _said(said))


def _said(notes: Mapping[str, Any]) -> Wanted:
    storage = notes.get("storage")
    cpus, gpus = (number(notes.get(f"{what}_per_trial")) for what in ("cpus", "gpus"))
    return Wanted(
        1.0 if cpus is None or not 0 <= cpus < 1e6 else cpus,
        0.0 if gpus is None or not 0 <= gpus < 1e6 else gpus,
        storage if isinstance(storage, str) else None,
    )


def _parse(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES + 1)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > _BYTES:
        raise FileFormatError(f"{path}: is larger than {_BYTES} bytes, which no cluster file is")
    try:
        return list(_load(_Loader(data.decode())))
    except UnicodeDecodeError:
        raise FileFormatError(f"{path}: is no text in UTF-8") from None
    except RecursionError:
        raise FileFormatError(f"{path}: is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        told = " ".join(str(error).split())
        raise FileFormatError(f"{path}: is no valid YAML: {told}") from None


def _load(loader: _Loader) -> Iterator[Any]:
    try:
        while loader.check_node():
            node = loader.get_node()
            _count(node, {})
            yield loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: Any, known: dict[int, int]) -> int:
    """Values of a node with its aliases written out: a few lines can stand for billions."""
    if known.get(id(node)) == 0:
        raise ValueError("an alias stands within what it stands for")
    if id(node) not in known:
        known[id(node)] = 0
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        inner = (part for one in parts for part in (one if isinstance(one, tuple) else (one,)))
        known[id(node)] = 1 + sum(_count(part, known) for part in inner)
    if known[id(node)] > _VALUES:
        raise ValueError(f"more than {_VALUES} values, aliases written out")
    return known[id(node)]


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key that stands twice: the first one would be lost silently."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key.value, str) or key.tag not in _KEYS:
                raise yaml.MarkedYAMLError(
                    problem="a key is no text; write it in quotes", problem_mark=key.start_mark
                )
            if key.value in seen and key.tag != _MERGE:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
