"""The Ray cluster under a run: joining or starting it, and what fits on its nodes."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import ray
from ray.tune import PlacementGroupFactory

from autoshrink_ray.autoscaler import Answer, could_start
from autoshrink_ray.errors import ConfigError, RunInterruptedError
from autoshrink_ray.packing import Shape, advice, capacity


@dataclass(frozen=True)
class Resources:
    """What one trial takes.

    Attributes:
        cpus: CPUs; a fraction shares one.
        gpus: GPUs; a fraction shares one.
    """

    cpus: float
    gpus: float

    def placement_group_factory(self) -> PlacementGroupFactory:
        """As Tune wants it."""
        return PlacementGroupFactory([self.bundle()])

    def bundle(self) -> dict[str, float]:
        """By Ray's names."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    def shape(self) -> Shape:
        """For counting what a node holds."""
        return Shape(self.cpus, self.gpus)

    def whole_device(self) -> PlacementGroupFactory:
        """Without neighbours: whole GPUs, or all CPUs of the smallest node that fits."""
        if self.gpus:
            return Resources(self.cpus, math.ceil(self.gpus)).placement_group_factory()
        fitting = [node["CPU"] for node in node_resources() if node.get("CPU", 0) >= self.cpus]
        return Resources(min(fitting, default=self.cpus), 0).placement_group_factory()

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"


@contextmanager
def connection(address: str | None) -> Iterator[bool]:
    """A connection to Ray: the one there is, else to `address`, else to a cluster of our own.

    Args:
        address: As `ray.init` takes it. None uses the variable RAY_ADDRESS, and without it
            starts a cluster on this machine that ends with the run.

    Yields:
        Whether the cluster was started for this run alone.

    Raises:
        ConfigError: If no cluster answers at the address, it does not take the token of this
            process, or it runs another Ray or Python.
        RunInterruptedError: On SIGTERM while Ray starts.
    """
    if ray.is_initialized():
        yield False
        return
    address = address or os.environ.get("RAY_ADDRESS")
    own = address in (None, "local")
    if own:
        _init("local", own=True)
    else:
        _join(str(address))
    try:
        yield own
    finally:
        ray.shutdown()


def _join(address: str) -> None:
    from autoshrink_ray.preflight.joining import require_joinable

    require_joinable(address)  # Ray takes half a minute to say less
    try:
        _init(address, own=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {address!r}: {' '.join(str(error).split())}; give "
            f"--address HOST:PORT of a running head node, `auto`, or nothing for this machine"
        ) from error


def _init(address: str, *, own: bool) -> None:
    extra = {"include_dashboard": False} if own else {}
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **extra)
    except SystemExit as error:
        if error.code != signal.SIGTERM:
            raise
        ray.shutdown()
        raise RunInterruptedError(signal.SIGTERM) from error  # Ray ends the process with 15
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def quiet(loggers: Sequence[str], variables: Mapping[str, str]) -> Iterator[None]:
    """Parts of Ray without their own log, and with these environment variables, for a time."""
    before = {name: os.environ.get(name) for name in variables}
    levels = {name: logging.getLogger(name).level for name in loggers}
    os.environ.update(variables)
    for name in loggers:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def node_resources() -> list[dict[str, float]]:
    """Total resources of each node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def autoscalable_resources() -> list[dict[str, float]]:
    """Resources of each node type that the autoscaler may start, as far as it says so itself.

    Ray's autoscaler v2 does not: see `autoshrink_ray.autoscaler`.
    """
    return [resources for resources, _ in _node_types()]


def _node_types() -> list[tuple[dict[str, float], float]]:
    """Resources of each node type that may be started, and how many of it."""
    from ray._private.state import state

    config = state.get_cluster_config()
    if config is None:
        return []
    groups = [group for group in config.node_group_configs if group.max_count]
    return [
        (dict(group.resources), group.max_count if group.max_count > 0 else math.inf)
        for group in groups
    ]


def require_fitting_node(
    trial: Resources, notify: Callable[[str], None] = lambda text: None
) -> None:
    """Checks that some node can hold a trial, or could if the autoscaler started it.

    Args:
        trial: What a trial takes.
        notify: Told of what nobody could say for sure.

    Raises:
        ConfigError: If none can: the trial would wait for ever.
    """
    nodes = node_resources() + autoscalable_resources()
    if any(_capacity(trial, node) for node in nodes):
        return
    answer = could_start(trial.bundle())
    if answer == "could start":
        return
    if answer in _UNSURE:
        notify(
            f"no node of the cluster can hold a trial, which asks for {trial}; {_UNSURE[answer]}"
        )
        return
    largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
    found = Resources(largest.get("CPU", 0), largest.get("GPU", 0))
    raise ConfigError(
        f"a trial asks for {trial}, and no node of the cluster has or could have that: the "
        f"largest has {found}; lower --cpus-per-trial or --gpus-per-trial"
    )


_UNSURE: Mapping[Answer, str] = {
    "cannot be asked": "its autoscaler, of version 1, cannot be asked whether it could start one "
    "that can: the run waits for it",
    "no answer": "its autoscaler did not say in time whether it could start one that can: the run "
    "waits for it",
}


def notices(trial: Resources) -> list[str]:
    """What would let more of the cluster's GPUs work, of the kinds of nodes that are known."""
    nodes = node_resources() + autoscalable_resources()
    found = [text for node in nodes for text in advice(trial.shape(), Shape.of(node))]
    return list(dict.fromkeys(found))


def slots(trial: Resources) -> int:
    """Trials that the nodes can hold at once."""
    return sum(_capacity(trial, node) for node in node_resources())


def startable_slots(trial: Resources) -> float:
    """Trials that the nodes that an autoscaler may start can hold at once; may be infinite."""
    held = ((count, _capacity(trial, node)) for node, count in _node_types())
    return sum(count * fitting for count, fitting in held if fitting)


def _capacity(trial: Resources, node: dict[str, float]) -> int:
    return capacity(trial.shape(), Shape.of(node))
