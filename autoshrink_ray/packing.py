"""How trials share the CPUs and GPUs of a node.

Ray counts resources in ten-thousandths. CPUs are one pool; a GPU is a thing: a trial that takes a
fraction gets it from one GPU, a trial that takes more takes whole ones. So trials of 0.4 GPUs go
two to a GPU, and the fifth part that is left of each is of no use to any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_UNIT = 10_000
"""Parts that Ray divides a resource into."""


@dataclass(frozen=True)
class Shape:
    """CPUs and GPUs, of a trial or of a node.

    Attributes:
        cpus: CPUs; a trial may take a fraction of one.
        gpus: GPUs; a trial may take a fraction of one, or whole ones.
    """

    cpus: float
    gpus: float = 0.0

    @classmethod
    def of(cls, resources: Mapping[str, float]) -> Shape:
        """Of resources by Ray's names."""
        return cls(resources.get("CPU", 0), resources.get("GPU", 0))


def capacity(trial: Shape, node: Shape) -> int:
    """Trials that a node holds at once.

    Raises:
        ValueError: If a trial takes nothing at all: any number would fit.
    """
    limits = [
        limit for limit in (_by_cpus(trial, node), _by_gpus(trial, node)) if limit is not None
    ]
    if not limits:
        raise ValueError("a trial takes CPUs or GPUs, got 0 of both")
    return min(limits)


def per_gpu(gpus: float) -> int:
    """Trials that share one GPU if each takes `gpus` of it; 1 for trials that take whole ones.

    Args:
        gpus: GPUs of a trial, above 0.
    """
    return max(1, _UNIT // _units(gpus))


def gpus_for(trials: int, trial: Shape) -> int:
    """Fewest whole GPUs on which so many trials run at once."""
    if not _units(trial.gpus):
        return 0
    return -(-trials // per_gpu(trial.gpus)) * _gpus_taken(trial)


def idle_gpus(trial: Shape, node: Shape) -> int:
    """Whole GPUs of a node that stay idle while as many trials run on it as it holds."""
    if not _units(trial.gpus):
        return _whole(node.gpus)
    return _whole(node.gpus) - gpus_for(capacity(trial, node), trial)


def filling_cpus(trial: Shape, node: Shape) -> float:
    """Most CPUs a trial may take so that CPUs do not keep others off the node's GPUs.

    Returns:
        A multiple of 0.01 where that leaves anything, else of 0.0001; infinity if the GPUs of the
        node hold no such trial.
    """
    most = _by_gpus(trial, node)
    if not most:
        return float("inf")
    units = _units(node.cpus) // most
    return (units - units % 100 if units >= 100 else units) / _UNIT


def advice(trial: Shape, node: Shape) -> list[str]:
    """What would let more of a node's GPUs work, a sentence each; empty where nothing would.

    A node that holds no trial at all gets no advice: that is an error, not a matter of packing.
    """
    if not _units(trial.gpus) or not capacity(trial, node):
        return []
    return [*_too_few_cpus(trial, node), *_left_over(trial, node)]


def _too_few_cpus(trial: Shape, node: Shape) -> list[str]:
    held, most = capacity(trial, node), _by_gpus(trial, node) or 0
    if held >= most:
        return []
    idle = idle_gpus(trial, node)
    what = f"{idle} of its {node.gpus:g} GPUs idle" if idle else "a part of a GPU idle"
    fills = filling_cpus(trial, node)
    remedy = f"--cpus-per-trial {fills:g} would fill it" if fills else "it has too few CPUs"
    return [
        f"a node with {node.cpus:g} CPUs and {node.gpus:g} GPUs holds {held} trials of "
        f"{trial.cpus:g} CPUs where its GPUs have room for {most}, which leaves {what}: {remedy}"
    ]


def _left_over(trial: Shape, node: Shape) -> list[str]:
    """What the GPUs lose since a trial's share does not divide what there is."""
    if trial.gpus < 1:
        sharing = per_gpu(trial.gpus)
        whole = even_share(sharing)
        if _units(trial.gpus) >= _units(whole):
            return []
        return [
            f"{sharing} trials of {trial.gpus:g} GPUs share a GPU, and what is left of it is of no "
            f"use to another: --gpus-per-trial {whole:g} takes no more GPUs, and an autoscaler "
            f"does not take the rests of several GPUs for room"
        ]
    rest = _whole(node.gpus) % _gpus_taken(trial)
    if not rest:
        return []
    return [
        f"trials of {trial.gpus:g} GPUs leave {rest} of a node's {node.gpus:g} GPUs idle: choose a "
        f"divisor of {node.gpus:g}"
    ]


def even_share(sharing: int) -> float:
    """Largest share of a GPU, in Ray's ten-thousandths, that lets so many trials share it."""
    return _UNIT // sharing / _UNIT


def _by_cpus(trial: Shape, node: Shape) -> int | None:
    return _units(node.cpus) // _units(trial.cpus) if _units(trial.cpus) else None


def _by_gpus(trial: Shape, node: Shape) -> int | None:
    if not _units(trial.gpus):
        return None
    return per_gpu(trial.gpus) * (_whole(node.gpus) // _gpus_taken(trial))


def _gpus_taken(trial: Shape) -> int:
    """Whole GPUs that a trial, or those that share with it, take."""
    return -(-_units(trial.gpus) // _UNIT)


def _whole(gpus: float) -> int:
    return _units(gpus) // _UNIT


def _units(amount: float) -> int:
    return round(amount * _UNIT)
