"""Made-up results: a function of topology and seed, so that every driver finds the same ones."""

from __future__ import annotations

from collections.abc import Callable

from autoshrink_ray.records import Candidate, Evaluation, Measurement
from autoshrink_ray.seeds import derive_seed
from autoshrink_ray.topology import Topology

Score = Callable[[Topology, int], Measurement]
"""Topology and seed of an evaluation to its result. Isomorphic topologies get the same one."""

STEPS = 8
"""Accuracies that there are: so few that ties come up."""


def measure(topology: Topology, seed: int) -> Measurement:
    """Mostly a complete result; one in twenty fails, one in twenty has no finite score."""
    kind = derive_seed("kind", seed, topology.key) % 20
    if kind == 0:
        return failed(f"made up for {topology.key}")
    return complete(accuracy_of(topology, seed), 0 if kind == 1 else macs_of(topology))


def measure_all(topology: Topology, seed: int) -> Measurement:
    """Always a complete result with a finite score."""
    return complete(accuracy_of(topology, seed), macs_of(topology))


def accuracy_of(topology: Topology, seed: int) -> float:
    """One of `STEPS` values in [0, 1)."""
    return derive_seed("accuracy", seed, topology.key) % STEPS / STEPS


def macs_of(topology: Topology) -> int:
    """A thousand an edge."""
    return 1000 * len(topology.pruned().edges)


def complete(accuracy: float, macs: float = 1000) -> Measurement:
    """A result as an image network has it; zero MACs make its score NaN."""
    return Measurement(
        status="complete",
        metrics={"accuracy": accuracy, "macs": macs, "params": 10},
        curve=(accuracy / 2, accuracy),
        epochs=2,
        stop_reason="epochs",
        seconds=0.5,
        device="cpu",
        build="none",
    )


def failed(reason: str = "diverged") -> Measurement:
    """A result that is none."""
    return Measurement(status="failed", reason=reason, epochs=1, device="cpu", build="none")


def out_of_memory() -> Measurement:
    """Not a result yet."""
    return Measurement(status="out_of_memory", reason="out of memory")


def evaluation(candidate: Candidate, measurement: Measurement, seed: int = 0) -> Evaluation:
    """What a policy hears."""
    return Evaluation(candidate=candidate, seed=seed, measurement=measurement)
