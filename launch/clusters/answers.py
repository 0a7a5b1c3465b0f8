"""The few answers that a cluster file is written from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from autoshrink_ray import packing
from autoshrink_ray.errors import ConfigError
from launch.clusters.hardware import Machine, machine

RAY = "2.60.0"
"""The release that this project is pinned to."""

_NEWEST_AMI = (
    "resolve:ssm:/aws/service/deeplearning/ami/x86_64/"
    "base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
)
"""AWS's own image for GPUs with Docker, whichever is the newest when a node starts."""

_NAME = r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"
_PRINTABLE = r"^[^\s\x00-\x1f\x7f]+$"


class Answers(BaseModel):
    """What a user says of a cluster; everything else follows.

    Attributes:
        provider: `aws` for `ray up`, `kuberay` for Kubernetes.
        gpu_type: GPU of the workers.
        max_workers: Most GPU workers; with `spot` a quarter of them are on demand.
        image: Container image with this project in it; its tag names Ray's release.
        spot: Workers that may be taken away, with others to fall back on.
        job: A RayJob that runs one search, instead of a cluster that stays.
        cpus_per_trial: CPUs of a trial.
        gpus_per_trial: GPUs of a trial.
        storage: URI of the runs.
        name: The cluster's name, and the run's with `job`.
        region: AWS region.
        ami: Machine image on AWS: an id, or the name of a parameter that holds one.
        namespace: Kubernetes namespace.
        security_group: Id of the security group of all nodes, on AWS.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["aws", "kuberay"]
    gpu_type: str = "t4"
    max_workers: Annotated[int, Field(ge=1, le=1000)] = 8
    image: Annotated[str, Field(max_length=250, pattern=_PRINTABLE)] = (
        f"example.org/autoshrink-ray:0.1.0-ray{RAY}-cuda"
    )
    spot: bool = True
    job: bool = False
    cpus_per_trial: Annotated[float, Field(gt=0, le=1000)] = 1.0
    gpus_per_trial: Annotated[float, Field(gt=0, le=64)] = 0.25
    storage: Annotated[str, Field(max_length=500, pattern=_PRINTABLE)] = "s3://my-bucket/runs"
    name: Annotated[str, Field(pattern=_NAME)] = "autoshrink-ray"
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] = "us-west-2"
    ami: Annotated[str, Field(pattern=r"^(ami-[0-9a-f]{8,17}|resolve:ssm:/[\w./-]+)$")] = (
        _NEWEST_AMI
    )
    namespace: Annotated[str, Field(pattern=_NAME)] = "default"
    security_group: Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")] = "sg-0123456789abcdef0"

    @field_validator("image")
    @classmethod
    def _pinned(cls, image: str) -> str:
        if not names_release(image):
            raise ValueError(f"must have a tag that names Ray {RAY}, such as name:ray{RAY}")
        return image

    @field_validator("storage")
    @classmethod
    def _shared(cls, storage: str) -> str:
        scheme, found, rest = storage.partition("://")
        if not found or scheme == "file" or not scheme.isalnum() or not rest:
            raise ValueError("must be a URI that every node reaches, such as s3://my-bucket/runs")
        return storage

    @model_validator(mode="after")
    def _fits(self) -> Answers:
        if self.job and self.provider == "aws":
            raise ValueError("--job is for kuberay: on AWS a run is sent to the cluster")
        if self.spot and self.max_workers < 2:
            raise ValueError(
                f"--spot takes two workers or more, one of them on demand, got --max-workers "
                f"{self.max_workers}: give more, or --no-spot"
            )
        trial = packing.Shape(self.cpus_per_trial, self.gpus_per_trial)
        node = packing.Shape(self.machine.cpus, self.machine.gpus)
        what = f"{self.machine.kind} ({node.cpus:g} CPUs, {node.gpus:g} GPUs)"
        if not packing.capacity(trial, node):
            raise ValueError(
                f"a trial of {trial.cpus:g} CPUs and {trial.gpus:g} GPUs does not fit on {what}"
            )
        if packing.idle_gpus(trial, node):
            raise ValueError("; ".join(packing.advice(trial, node)))
        return self

    @property
    def workers(self) -> dict[str, int]:
        """Most workers of each GPU node type."""
        if not self.spot:
            return {"gpu-on-demand": self.max_workers}
        on_demand = max(1, self.max_workers // 4)
        return {"gpu-spot": self.max_workers - on_demand, "gpu-on-demand": on_demand}

    @property
    def machine(self) -> Machine:
        """The worker."""
        return machine(self.provider, self.gpu_type)


def names_release(image: str) -> bool:
    """Whether an image's tag says that Ray's pinned release is in it.

    Whole numbers only: the tag `2.60.01` is another release.
    """
    tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
    before, found, after = tag.partition(RAY)
    return bool(found) and not before[-1:].isdigit() and not after[:1].isdigit()


def of(values: dict[str, Any]) -> Answers:
    """Answers from options.

    Raises:
        ConfigError: If one is wrong; the message names it.
    """
    try:
        return Answers.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = "".join(f"--{str(part).replace('_', '-')} " for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        got = f", got {first['input']!r}" if first["loc"] else ""
        raise ConfigError(f"{option}{said}{got}") from None
