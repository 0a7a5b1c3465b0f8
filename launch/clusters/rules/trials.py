"""What a run asks of the nodes: room for its trials, and storage that all of them reach."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from autoshrink_ray.packing import Shape, advice, capacity, idle_gpus
from launch.clusters.document import Document, Kind, at, items, mapping
from launch.clusters.rule import Fault, Level, rule
from launch.clusters.workers import Worker, container, workers


def _with_gpus(document: Document) -> list[tuple[Worker, Shape]]:
    """Types of workers with GPUs whose size is known."""
    return [
        (one, Shape(one.cpus, one.gpus))
        for one in workers(document)
        if one.gpus and one.cpus is not None and one.cpus >= 0 and one.gpus > 0
    ]


def _trial(document: Document) -> Shape | None:
    wanted = document.wanted
    asks = wanted.gpus_per_trial >= 1e-4 or wanted.cpus_per_trial >= 1e-4
    return Shape(wanted.cpus_per_trial, wanted.gpus_per_trial) if asks else None


@rule()
def trial_too_large(document: Document) -> Iterator[Fault]:
    """A trial that no type of worker can hold waits for ever."""
    trial, types = _trial(document), workers(document)
    known = [one for one in types if one.cpus is not None]
    if trial is None or not types or len(known) < len(types):
        return
    fits = [one for one in known if capacity(trial, Shape(max(one.cpus or 0, 0), max(one.gpus, 0)))]
    if not fits:
        most = max(known, key=lambda one: one.gpus)
        yield Fault(
            most.path,
            f"a trial of {trial.cpus:g} CPUs and {trial.gpus:g} GPUs fits on no type of worker",
            f"ask for at most {most.cpus:g} CPUs and {most.gpus:g} GPUs, or a larger type",
        )


@rule()
def idle_gpu(document: Document) -> Iterator[Fault]:
    """A GPU that no trial can use is paid for all the same."""
    trial = _trial(document)
    if trial is None or not trial.gpus:
        return
    for worker, node in _with_gpus(document):
        if capacity(trial, node) and idle_gpus(trial, node):
            yield Fault(worker.path, advice(trial, node)[0], "match trials and node type")


@rule(level=Level.WARNING)
def part_of_a_gpu(document: Document) -> Iterator[Fault]:
    """A part of each GPU that no trial can use is paid for all the same."""
    trial = _trial(document)
    if trial is None or not trial.gpus:
        return
    for worker, node in _with_gpus(document):
        if capacity(trial, node) and not idle_gpus(trial, node):
            for told in advice(trial, node):
                yield Fault(worker.path, told, "match trials and node type")


@rule()
def local_storage(document: Document) -> Iterator[Fault]:
    """A path on a node's own disk is another place on every node, and gone with the node."""
    place = _storage(document)
    if place is None or ("://" in place and not place.startswith("file://")):
        return
    path = unquote(urlsplit(place).path) if "://" in place else place
    if document.kind is not Kind.RAY_UP and _on_a_volume(document, path):
        return
    yield Fault(
        "storage", f"{place} is a path on each node's own disk", "use a URI such as s3://..."
    )


@rule(Kind.RAY_UP)
def instance_profile(document: Document) -> Iterator[Fault]:
    """Machines without a profile have no rights on S3: every trial fails when it writes."""
    if not (document.wanted.storage or "").startswith("s3://"):
        return
    if at(document.body, "provider", "type") != "aws":
        return
    for name, one in mapping(document.body.get("available_node_types")).items():
        if not at(one, "node_config", "IamInstanceProfile"):
            yield Fault(
                f"available_node_types.{name}.node_config.IamInstanceProfile",
                "storage is on S3 and these machines have no profile",
                "name an instance profile that may read and write it",
            )


def _storage(document: Document) -> str | None:
    """Where runs are kept: what a job's own command says counts more than a note."""
    if document.kind is Kind.RAY_JOB:
        words = command(document)
        for place, word in enumerate(words):
            if word == "--storage":
                return "".join(words[place + 1 : place + 2])
            if word.startswith("--storage="):
                return word.partition("=")[2]
    return document.wanted.storage


def command(document: Document) -> list[str]:
    """Words of a job's command; none if a shell could not split it."""
    entrypoint = at(document.body, "spec", "entrypoint")
    try:
        return shlex.split(entrypoint) if isinstance(entrypoint, str) else []
    except ValueError:
        return []


def _on_a_volume(document: Document, path: str) -> bool:
    """Whether a path lies on a volume that is mounted in all groups of pods."""
    groups = [mapping(document.cluster.get("headGroupSpec"))]
    groups += [mapping(one) for one in items(document.cluster.get("workerGroupSpecs"))]
    return all(
        any(
            path == place or path.startswith(f"{place.rstrip('/')}/")
            for mount in items(container(group).get("volumeMounts"))
            if isinstance(place := mapping(mount).get("mountPath"), str)
        )
        for group in groups
    )
