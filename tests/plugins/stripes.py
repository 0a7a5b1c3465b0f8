"""An example of a plug-in: an own search space and an own data set, nothing of ours changed.

autoshrink-ray search --plugin tests.plugins.stripes --space mlp
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from autoshrink_ray import (
    DataRequest,
    ImageShape,
    Settings,
    Topology,
    register_dataset,
    register_space,
)
from autoshrink_ray.errors import DataError, TopologyError
from autoshrink_ray.seeds import derive_seed
from trainables.data import ImageSet

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}


class MlpMacro(Settings):
    """Settings of the network around the cell."""

    width: int = Field(default=8, ge=1)


class MlpNetwork(nn.Module):
    """Flattened pixels, a cell of dense layers, and a classifier over the mean of its leaves."""

    def __init__(self, topology: Topology, width: int, shape: ImageShape) -> None:
        super().__init__()
        self.topology = topology
        self.entry = nn.Linear(shape.channels * shape.height * shape.width, width)
        self.nodes = nn.ModuleDict(
            {str(node): nn.Linear(width, width) for node in sorted(topology.reachable - {0})}
        )
        self.classifier = nn.Linear(width, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        states = {0: self.entry(images.flatten(1))}
        for node in sorted(self.topology.reachable - {0}):
            inputs = sum(states[before] for before in self.topology.predecessors(node))
            activation = ACTIVATIONS[self.topology.ops[node]]
            states[node] = activation(self.nodes[str(node)](inputs))
        leaves = [states[leaf] for leaf in self.topology.leaves]
        return self.classifier(torch.stack(leaves).mean(0))

    def parameters_by_role(self) -> dict[str, list[nn.Parameter]]:
        """Which parameters the image task regularises."""
        kernels = [p for p in self.parameters() if p.ndim > 1]
        others = [p for p in self.parameters() if p.ndim == 1]
        return {"kernel": kernels, "depthwise": [], "projection": [], "other": others}


class MlpSpace:
    """Cells of dense layers."""

    name = "mlp"
    task = "image"
    nodes = 4
    keep_fraction = 0.3
    data = "stripes"
    Macro = MlpMacro

    def initial(self, nodes: int, seed: int) -> Topology:
        """The complete cell with random activations."""
        names = sorted(ACTIVATIONS)
        return Topology.complete(tuple(names[derive_seed(seed, n) % 2] for n in range(nodes)))

    def check(self, topology: Topology) -> None:
        """Refuses operations that are no activation."""
        for op in topology.ops[1:]:
            if op not in ACTIVATIONS:
                raise TopologyError(f"an operation is one of {sorted(ACTIVATIONS)}, got {op!r}")

    def build(self, topology: Topology, macro: MlpMacro, shape: ImageShape) -> MlpNetwork:
        """An untrained network."""
        self.check(topology)
        return MlpNetwork(topology, macro.width, shape)

    def cost(self, topology: Topology, macro: MlpMacro, shape: ImageShape) -> dict[str, int]:
        """Multiply-accumulates of all dense layers, and parameters with their biases."""
        pixels, hidden = shape.channels * shape.height * shape.width, len(topology.reachable) - 1
        macs = macro.width * (pixels + hidden * macro.width + shape.classes)
        return {"macs": macs, "params": macs + macro.width * (hidden + 1) + shape.classes}


def stripes(request: DataRequest) -> ImageSet:
    """Vertical and horizontal stripes; `--data stripes:SIZE` sets the pixels."""
    if request.argument and not request.argument.isdigit():
        raise DataError(f"stripes takes its size in pixels, got {request.argument!r}")
    size = int(request.argument or 6)
    generator = np.random.default_rng(request.options["seed"])

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 2
        lines = generator.integers(0, 256, (count, 1, size), np.uint8).repeat(size, axis=1)
        images = np.where(labels[:, None, None] == 0, lines, lines.transpose(0, 2, 1))
        return np.ascontiguousarray(images[..., None]), labels

    return ImageSet(*split(256), *split(64), class_names=("vertical", "horizontal"))


SPACE = MlpSpace()
register_space("mlp", "tests.plugins.stripes:SPACE")
register_dataset("stripes", "tests.plugins.stripes:stripes")
