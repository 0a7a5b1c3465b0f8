"""Keys and values that Ray or KubeRay does not know, and keys that Ray would fill in badly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from autoshrink_ray.errors import choices
from launch.clusters.document import KUBERNETES, Document, Kind, at, items, mapping
from launch.clusters.rule import Fault, rule

_PROVIDERS = (
    *("aliyun", "aws", "azure", "external", "fake_multinode", "fake_multinode_docker", "gcp"),
    *("kuberay", "local", "readonly", "spark", "vsphere"),
)

_PROVIDER_KEYS = (
    *("type", "region", "availability_zone", "cache_stopped_nodes", "security_group"),
    *("use_internal_ips", "cloudwatch", "aws_credentials", "worker_liveness_check"),
    *("worker_rpc_drain", "disable_node_updaters", "disable_launch_config_check"),
    *("foreground_node_launch", "use_external_head_ip"),
)

_FILLED = (
    *("max_workers", "upscaling_speed", "idle_timeout_minutes", "available_node_types"),
    *("head_node_type", "initialization_commands", "setup_commands", "head_setup_commands"),
    *("worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"),
)

_TOP = "apiVersion kind metadata spec status"
_CLUSTER = (
    "authOptions autoscalerOptions enableInTreeAutoscaling gcsFaultToleranceOptions headGroupSpec "
    "headServiceAnnotations historyServerOptions managedBy networkPolicy rayVersion suspend "
    "tlsOptions upgradeStrategy workerGroupSpecs"
)
_JOB = (
    "activeDeadlineSeconds backoffLimit clusterSelector deletionStrategy entrypoint "
    "entrypointNumCpus entrypointNumGpus entrypointResources jobId managedBy metadata "
    "preRunningDeadlineSeconds rayClusterSpec runtimeEnvYAML shutdownAfterJobFinishes "
    "submissionMode submitterConfig submitterPodTemplate suspend ttlSecondsAfterFinished"
)
_HEAD = (
    "enableIngress headService ingressOptions labels rayStartParams resources serviceType template"
)
_WORKER = (
    "groupName idleTimeoutSeconds labels maxReplicas minReplicas numOfHosts priority "
    "rayStartParams replicas resources scaleStrategy suspend template"
)
_AUTOSCALER = (
    "args command env envFrom idleTimeoutSeconds image imagePullPolicy resources securityContext "
    "upscalingMode version volumeMounts"
)
_AUTH = "enableK8sTokenAuth mode secretName"


@rule(Kind.RAY_UP)
def schema(document: Document) -> Iterator[Fault]:
    """Ray refuses a file that breaks its schema, or passes over what it does not know."""
    for error in _validator().iter_errors(document.body):
        path = ".".join(str(step) for step in error.absolute_path) or "the file"
        yield Fault(path, error.message[:300], "see Ray's cluster YAML reference")


@rule(Kind.RAY_UP)
def provider_type(document: Document) -> Iterator[Fault]:
    """A provider that does not exist is only noticed when `ray up` imports it."""
    found = at(document.body, "provider", "type")
    if isinstance(found, str) and found not in _PROVIDERS:
        yield Fault("provider.type", f"no such provider: {found!r}", _meant(found, _PROVIDERS))


@rule(Kind.RAY_UP)
def provider_key(document: Document) -> Iterator[Fault]:
    """A misspelt key of the provider is passed over in silence."""
    provider = mapping(document.body.get("provider"))
    if provider.get("type") == "aws":
        yield from _unknown("provider.", provider, _PROVIDER_KEYS)


@rule(Kind.RAY_UP)
def filled_in(document: Document) -> Iterator[Fault]:
    """Ray fills in what is left out: two workers, a nightly wheel, an open dashboard."""
    for key in _FILLED:
        if key not in document.body:
            yield Fault(key, "is left out, and Ray's default is not safe", f"write {key} yourself")


@rule(Kind.RAY_UP)
def stopped_nodes(document: Document) -> Iterator[Fault]:
    """Machines that are stopped instead of terminated go on costing their disks."""
    provider = mapping(document.body.get("provider"))
    if provider.get("type") == "aws" and provider.get("cache_stopped_nodes") is not False:
        yield Fault("provider.cache_stopped_nodes", "stopped machines are kept", "set it to false")


@rule(*KUBERNETES)
def unknown_key(document: Document) -> Iterator[Fault]:
    """Kubernetes drops a key that it does not know, or refuses the object."""
    yield from _unknown("", document.body, _TOP.split())
    if document.kind is Kind.RAY_JOB:
        yield from _unknown("spec.", mapping(document.body.get("spec")), _JOB.split())
    cluster, path = document.cluster, document.cluster_path
    yield from _unknown(path, cluster, _CLUSTER.split())
    for key, known in (
        ("headGroupSpec", _HEAD),
        ("autoscalerOptions", _AUTOSCALER),
        ("authOptions", _AUTH),
    ):
        yield from _unknown(f"{path}{key}.", mapping(cluster.get(key)), known.split())
    for place, group in enumerate(items(cluster.get("workerGroupSpecs"))):
        yield from _unknown(f"{path}workerGroupSpecs[{place}].", mapping(group), _WORKER.split())


def _unknown(path: str, found: Mapping[str, Any], known: Iterable[str]) -> Iterator[Fault]:
    known = tuple(known)
    for key in found:
        if key not in known:
            yield Fault(f"{path}{key}", "no such key", _meant(str(key), known))


def _meant(found: str, known: Iterable[str]) -> str:
    known = tuple(known)
    near = get_close_matches(found, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {choices(known)}"


@cache
def _validator() -> Draft7Validator:
    """Ray's own schema; found without importing Ray."""
    package = find_spec("ray")
    assert package is not None  # noqa: S101 - a dependency
    assert package.origin is not None  # noqa: S101 - a package on disk
    text = Path(package.origin).with_name("autoscaler").joinpath("ray-schema.json").read_text()
    return Draft7Validator(json.loads(text))
