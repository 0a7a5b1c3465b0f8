"""What the search asks of the parts that are plugged into it.

A *search space* says which cells there are and builds networks from them. A *proxy task* loads
data and trains such a network. A *data set* is a function that returns arrays. The core knows
them by name only (see `autoshrink_ray.plugins`) and never imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel

from autoshrink_ray.records import Measurement
from autoshrink_ray.topology import Topology


@dataclass(frozen=True)
class ImageShape:
    """Shape of an image classification problem: inputs (B, channels, height, width)."""

    channels: int
    height: int
    width: int
    classes: int


@dataclass(frozen=True)
class TextShape:
    """Shape of a language-modelling problem: inputs (T, B) of word numbers."""

    vocabulary: int


class Settings(BaseModel, frozen=True, extra="forbid"):
    """Base of the settings that a space (`macro`) or a task (`proxy`) declares.

    Attributes:
        paths: Fields that say where data are: free to change, the fingerprint tells what counts.
    """

    paths: ClassVar[frozenset[str]] = frozenset()


@runtime_checkable
class SearchSpace(Protocol):
    """Cells, and how a network is built from one.

    Attributes:
        name: What `--space` calls it.
        task: Proxy task that trains its networks: `image`, `text` or `module:attribute`.
        nodes: Default number of nodes.
        keep_fraction: Default fraction of the complete cell's edges at which a search stops.
        data: Default data spec.
        Macro: Settings of the network around the cell.
    """

    name: str
    task: str
    nodes: int
    keep_fraction: float
    data: str
    Macro: type[Settings]

    def initial(self, nodes: int, seed: int) -> Topology:
        """The complete cell, its operations drawn from `seed`."""
        ...

    def check(self, topology: Topology) -> None:
        """Raises TopologyError unless the space has all operations of `topology`."""
        ...

    def build(self, topology: Topology, macro: Any, shape: Any) -> Any:
        """An untrained `torch.nn.Module` for inputs of `shape`."""
        ...

    def cost(self, topology: Topology, macro: Any, shape: Any) -> dict[str, int]:
        """`macs` and `params` of that module, and whatever else the objective reads."""
        ...


class ProxyData(Protocol):
    """Data of a proxy task, as it travels to the workers: arrays and plain values."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that training reads."""
        ...

    @property
    def summary(self) -> str:
        """One line for people."""
        ...


class Evaluator(Protocol):
    """Trains candidates one after the other on data that was loaded once."""

    def evaluate(self, topology: Topology, seed: int) -> Measurement:
        """Trains `topology` from scratch.

        What a candidate does wrong is a Measurement that says so; whatever is raised counts as
        a fault of the infrastructure and is tried again.
        """
        ...


@dataclass(frozen=True)
class DataRequest:
    """Which data a run asks for.

    Attributes:
        spec: `NAME` or `NAME:ARGUMENT`, as the user wrote it.
        options: The proxy settings that the data set itself may read (sizes, folders, seed).
    """

    spec: str
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Part of the spec that selects the data set."""
        return self.spec.partition(":")[0]

    @property
    def argument(self) -> str:
        """Part of the spec behind the first colon, empty where there is none."""
        return self.spec.partition(":")[2]


class ProxyTask(Protocol):
    """How candidates of a space are trained and measured.

    Attributes:
        objective: Name of the score (see `autoshrink_ray.objective`).
        Proxy: Settings of the training.
    """

    objective: str
    Proxy: type[Settings]

    def machine(self, *, gpu: bool) -> tuple[str, str] | None:
        """Device model and library build that a training in this process would report.

        Args:
            gpu: Whether a GPU is meant; without one here, nobody knows: None.
        """
        ...

    def load(self, request: DataRequest, space: SearchSpace, macro: Any, proxy: Any) -> ProxyData:
        """Reads the proxy subset and checks it against all settings. Runs once, on the driver.

        Raises:
            DataError: With the file, the rule and the value.
        """
        ...

    def evaluator(
        self, space: SearchSpace, macro: Any, proxy: Any, data: Any, *, threads: int, gpu: bool
    ) -> Evaluator:
        """Prepares a worker.

        Args:
            space: Builds the networks.
            macro: Settings of the network around the cell.
            proxy: Settings of the training.
            data: What `load` returned.
            threads: CPU threads to use.
            gpu: Whether a GPU may be used; where there is none the CPU is.
        """
        ...
