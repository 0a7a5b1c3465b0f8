"""GPU types that cluster files can be written for, and the machines that carry them.

CPUs, GPUs and memory of AWS types are those of AWS's instance type pages (G4dn, G5, G6, G6e, P4,
P5): the smallest type of each GPU. A Kubernetes worker is a pod with one GPU, small enough for the
usual machine that carries it; its label is what NVIDIA's GPU feature discovery writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from autoshrink_ray.errors import ConfigError, choices


@dataclass(frozen=True)
class Machine:
    """What one worker has.

    Attributes:
        kind: Instance type on AWS; the node label's value on Kubernetes.
        cpus: CPUs that Ray hands out.
        gpus: GPUs.
        memory: GiB.
    """

    kind: str
    cpus: int
    gpus: int
    memory: int


_MACHINES: dict[str, dict[str, Machine]] = {
    "aws": {
        "t4": Machine("g4dn.xlarge", 4, 1, 16),
        "a10g": Machine("g5.xlarge", 4, 1, 16),
        "l4": Machine("g6.xlarge", 4, 1, 16),
        "l40s": Machine("g6e.xlarge", 4, 1, 32),
        "a100": Machine("p4d.24xlarge", 96, 8, 1152),
        "h100": Machine("p5.48xlarge", 192, 8, 2048),
    },
    "kuberay": {
        "t4": Machine("Tesla-T4", 4, 1, 12),
        "a10g": Machine("NVIDIA-A10G", 4, 1, 12),
        "l4": Machine("NVIDIA-L4", 4, 1, 12),
        "l40s": Machine("NVIDIA-L40S", 4, 1, 24),
        "a100": Machine("NVIDIA-A100-SXM4-40GB", 8, 1, 64),
        "h100": Machine("NVIDIA-H100-80GB-HBM3", 16, 1, 128),
    },
}

PROVIDERS = tuple(_MACHINES)


def gpu_types(provider: str) -> tuple[str, ...]:
    """GPU types of a provider.

    Raises:
        ConfigError: If there is no such provider.
    """
    if provider not in _MACHINES:
        raise ConfigError(f"--provider must be one of {choices(PROVIDERS)}, got {provider!r}")
    return tuple(_MACHINES[provider])


def machine(provider: str, gpu_type: str) -> Machine:
    """The worker that carries a GPU type.

    Raises:
        ConfigError: If there is no such provider, or it has no such GPU.
    """
    known = gpu_types(provider)
    if gpu_type not in known:
        raise ConfigError(
            f"--gpu-type must be one of {choices(known)} for {provider}, got {gpu_type!r}"
        )
    return _MACHINES[provider][gpu_type]
