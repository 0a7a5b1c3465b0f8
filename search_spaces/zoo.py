"""Published cells and their networks, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoshrink_ray.files import CellFile
from autoshrink_ray.topology import Topology
from search_spaces.derive import derive
from search_spaces.network import NetworkFile

PAPER = (
    "AutoShrink: A Topology-aware NAS for Discovering Efficient Architecture, "
    "AAAI 2020, arXiv 1911.09251"
)


@dataclass(frozen=True)
class ZooCell:
    """A cell that somebody published, and what they reported of it.

    Attributes:
        name: What the zoo calls it.
        space: Name of its search space.
        topology: The cell in the publication's numbering.
        description: The network that the published figures are of.
        source: Where it was published.
        published: Reported figures: accuracies in [0, 1], perplexities, parameters, MACs.
        preset: Preset that the published network was derived with.
        macro: Settings that belong to the cell, in whatever network it stands.
        input: What the published network's input has that the preset's has not.
    """

    name: str
    space: str
    topology: Topology
    description: str
    source: str
    published: Mapping[str, float]
    preset: str
    macro: Mapping[str, Any] = field(default_factory=dict)
    input: Mapping[str, int] = field(default_factory=dict)

    @property
    def cell(self) -> CellFile:
        """The cell as a cell file."""
        return CellFile.of(
            self.space,
            self.topology,
            metrics=dict(self.published),
            provenance={"name": self.name, "source": self.source, "network": self.description},
        )

    @property
    def network(self) -> NetworkFile:
        """The published network."""
        return derive(self.cell, self.preset, macro=self.macro, input=self.input)


_SHRINK_CNN = Topology(
    ops=("conv1x1", "sep3x3", "sep3x3", "sep3x3", "conv1x1"),
    edges=((0, 1), (0, 2), (0, 3), (0, 4), (1, 3), (2, 4)),
)

_SHRINK_RNN = Topology(
    ops=("tanh", "identity", "sigmoid", "sigmoid", "tanh", "identity"),
    edges=(
        *((0, 1), (0, 2), (0, 3), (0, 4), (0, 5)),
        *((1, 3), (1, 4), (1, 5)),
        *((2, 4), (2, 5)),
        *((3, 4), (3, 5)),
    ),
)

_WITH_BACKGROUND = {"classes": 1001}
"""The authors count a background class."""

_CELLS = (
    ZooCell(
        name="shrink-cnn-a",
        space="cnn",
        topology=_SHRINK_CNN,
        description="ImageNet at 224 x 224 pixels, 18 residual cells, ReLU, 300 epochs",
        source=PAPER,
        published={"imagenet_top1_accuracy": 0.739, "params": 3.6e6, "macs": 384e6},
        preset="imagenet",
        input=_WITH_BACKGROUND,
    ),
    ZooCell(
        name="shrink-cnn-b",
        space="cnn",
        topology=_SHRINK_CNN,
        description="The cell of shrink-cnn-a with Swish in place of ReLU, except after the "
        "depthwise part of its linear leaf; ImageNet at 224 x 224 pixels, 300 epochs",
        source=PAPER,
        published={"imagenet_top1_accuracy": 0.751, "params": 3.6e6, "macs": 384e6},
        preset="imagenet",
        macro={"activation": "swish"},
        input=_WITH_BACKGROUND,
    ),
    ZooCell(
        name="shrink-rnn",
        space="rnn",
        topology=_SHRINK_RNN,
        description="Penn Treebank, embedding and hidden size 745, vocabulary 10,000",
        source=PAPER,
        published={
            "ptb_valid_perplexity": 58.5,
            "ptb_test_perplexity": 56.5,
            "params": 24e6,
        },
        preset="ptb",
    ),
)

CELLS: dict[str, ZooCell] = {cell.name: cell for cell in _CELLS}
"""All published cells, by name."""
