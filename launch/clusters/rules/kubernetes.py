"""What KubeRay, its autoscaler and its jobs need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from launch.clusters.document import KUBERNETES, Document, Kind, at, items, mapping, number
from launch.clusters.rule import Fault, rule
from launch.clusters.rules.trials import command
from launch.clusters.workers import container

_DRAIN = 30
"""Seconds that a node drains after SIGTERM."""


def _pods(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Pod specifications of the head and of each group, and where they stand."""
    path = document.cluster_path
    yield (
        f"{path}headGroupSpec.template.spec",
        mapping(at(document.cluster, "headGroupSpec", "template", "spec")),
    )
    for place, group in enumerate(items(document.cluster.get("workerGroupSpecs"))):
        yield (
            f"{path}workerGroupSpecs[{place}].template.spec",
            mapping(at(group, "template", "spec")),
        )


@rule(*KUBERNETES)
def namespace(document: Document) -> Iterator[Fault]:
    """Ray's autoscaler reads the cluster by its namespace."""
    if not at(document.body, "metadata", "namespace"):
        yield Fault("metadata.namespace", "is left out", "name the namespace")


@rule(*KUBERNETES)
def autoscaling_off(document: Document) -> Iterator[Fault]:
    """Without the autoscaler a group that starts from 0 stays there."""
    if document.cluster.get("enableInTreeAutoscaling") is not True:
        yield Fault(f"{document.cluster_path}enableInTreeAutoscaling", "is off", "set it to true")


@rule(*KUBERNETES)
def autoscaler_version(document: Document) -> Iterator[Fault]:
    """Only v2 says what it cannot place, so that a run is refused instead of waiting."""
    if at(document.cluster, "autoscalerOptions", "version") != "v2":
        yield Fault(
            f"{document.cluster_path}autoscalerOptions.version", "is not v2", "set it to v2"
        )


@rule(*KUBERNETES)
def restart_policy(document: Document) -> Iterator[Fault]:
    """A container that Kubernetes restarts is a node that autoscaler v2 does not know."""
    for path, pod in _pods(document):
        if pod.get("restartPolicy") != "Never":
            yield Fault(f"{path}.restartPolicy", "is not Never", "set it to Never")


@rule(*KUBERNETES)
def grace_period(document: Document) -> Iterator[Fault]:
    """A node drains for up to 30 s; a pod that is killed before counts as lost."""
    for path, pod in _pods(document):
        if (number(pod.get("terminationGracePeriodSeconds")) or 0) <= _DRAIN:
            yield Fault(
                f"{path}.terminationGracePeriodSeconds",
                f"is not above the {_DRAIN} s of a drain",
                "set it to 120",
            )


@rule(*KUBERNETES)
def gpu_limit(document: Document) -> Iterator[Fault]:
    """A group on GPU nodes without a GPU limit keeps them and gives Ray none."""
    for place, group in enumerate(items(document.cluster.get("workerGroupSpecs"))):
        pod = mapping(at(group, "template", "spec"))
        limit = at(container(mapping(group)), "resources", "limits", "nvidia.com/gpu")
        meant = any("gpu" in str(key) for key in mapping(pod.get("nodeSelector"))) or number(
            at(group, "rayStartParams", "num-gpus")
        )
        if meant and not number(limit):
            yield Fault(
                f"{document.cluster_path}workerGroupSpecs[{place}]",
                "is for GPU nodes and has no limit for nvidia.com/gpu",
                "set requests and limits to its GPUs",
            )


@rule(Kind.RAY_JOB)
def job_starts_anew(document: Document) -> Iterator[Fault]:
    """A retry is a new cluster: without its run's name and storage it begins from nothing."""
    words = command(document)
    if not number(at(document.body, "spec", "backoffLimit")):
        return
    for option in ("--name", "--storage"):
        if not any(word == option or word.startswith(f"{option}=") for word in words):
            yield Fault("spec.entrypoint", f"is tried again without {option}", f"add {option}")


@rule(Kind.RAY_JOB)
def driver_on_worker(document: Document) -> Iterator[Fault]:
    """An entrypoint that asks for resources is placed on a worker, which may be taken away."""
    for key in ("entrypointNumCpus", "entrypointNumGpus", "entrypointResources"):
        if at(document.body, "spec", key):
            yield Fault(f"spec.{key}", "sends the driver to a worker", "remove it")


@rule(Kind.RAY_JOB)
def two_ways_to_delete(document: Document) -> Iterator[Fault]:
    """KubeRay refuses deletionRules beside shutdownAfterJobFinishes."""
    job = mapping(document.body.get("spec"))
    if at(job, "deletionStrategy", "deletionRules") and job.get("shutdownAfterJobFinishes"):
        yield Fault("spec.deletionStrategy.deletionRules", "excludes the other", "keep one of both")


@rule(Kind.RAY_JOB)
def never_deleted(document: Document) -> Iterator[Fault]:
    """A cluster that outlives its job is paid for until somebody notices."""
    job = mapping(document.body.get("spec"))
    if not (job.get("shutdownAfterJobFinishes") or job.get("deletionStrategy")):
        yield Fault(
            "spec.shutdownAfterJobFinishes", "the cluster outlives the job", "set it to true"
        )
