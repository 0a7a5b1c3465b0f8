"""Image cells: separable 3x3 and 1x1 convolutions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from torch import Tensor, nn

from autoshrink_ray.contracts import ImageShape, Settings
from autoshrink_ray.seeds import shuffled
from autoshrink_ray.topology import Topology
from search_spaces.cost import cnn_cost
from search_spaces.ops import (
    Classifier,
    ConvNormAct,
    Projection,
    SeparableConv,
    concatenate,
    fan_out_normal_,
    max_pool_same,
)
from search_spaces.plan import (
    STEM_SIZE,
    Activation,
    CnnPlan,
    Initializer,
    Norm,
    Stage,
    stage_width,
    stem_width,
)
from search_spaces.vocabulary import check_cell

OPERATIONS: dict[str, type[SeparableConv] | type[ConvNormAct]] = {
    "sep3x3": SeparableConv,
    "conv1x1": ConvNormAct,
}
"""Modules of the node operations, by name."""

MAX_CHANNEL_SCALE = 64.0
"""Largest factor of the widths."""

Width = Annotated[int, Field(ge=1, le=100_000)]

ROLES = ("kernel", "depthwise", "projection", "other")
"""Kinds of parameters that weight decay tells apart."""


class CnnMacro(Settings):
    """The network around a cell, in a search and derived; the defaults are the search's.

    Attributes:
        stem_filters: Output channels of the 3x3 stem at channel scale 1.
        stem_stride: Stride of the stem.
        base_width: Channels of a node in a stage of scale 1 at channel scale 1.
        scale: Width of each stage in multiples of `base_width`.
        channel_scale: Factor of the widths of stem and stages, rounded to multiples of 4.
        pools: Factor by which each stage makes height and width smaller.
        replicate: Cells of each stage; None for one.
        head_filters: Output channels of a 1x1 convolution after the stages; 0 for none.
        activation: Non-linearity of stem, cells and head.
        bn_eps: Epsilon of batch normalisation.
        bn_momentum: Weight of the newest batch in its running averages.
        initializer: Distribution that kernels start from.
    """

    stem_filters: Width = 32
    stem_stride: Annotated[int, Field(ge=1, le=2)] = 1
    base_width: Width = 16
    scale: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)], ...],
        Field(min_length=1),
    ] = (1.0, 2.0, 4.0)
    channel_scale: Annotated[float, Field(gt=0, le=MAX_CHANNEL_SCALE, allow_inf_nan=False)] = 1.0
    pools: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)] = (
        1,
        2,
        2,
    )
    replicate: tuple[Annotated[int, Field(ge=1, le=1000)], ...] | None = None
    head_filters: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    activation: Activation = "relu"
    bn_eps: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-5
    bn_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1
    initializer: Initializer = "glorot_normal"

    @model_validator(mode="after")
    def _one_entry_for_each_stage(self) -> CnnMacro:
        stages = len(self.scale)
        for name in ("pools", "replicate"):
            entries = getattr(self, name)
            if entries is not None and len(entries) != stages:
                raise ValueError(
                    f"scale and {name} have one entry for each stage, "
                    f"got {stages} of scale and {len(entries)} of {name}"
                )
        return self

    @property
    def plan(self) -> CnnPlan:
        """The network that these settings describe."""
        widths = (stage_width(self.base_width * s * self.channel_scale) for s in self.scale)
        cells = self.replicate or (1,) * len(self.scale)
        return CnnPlan(
            stem_filters=stem_width(self.stem_filters * self.channel_scale),
            stages=tuple(Stage(*stage) for stage in zip(widths, self.pools, cells, strict=True)),
            norm=Norm(self.bn_eps, self.bn_momentum),
            stem_stride=self.stem_stride,
            head_filters=self.head_filters,
            activation=self.activation,
        )


class Cell(nn.Module):
    """A residual cell: every leaf ends linear, and the leaves side by side are its output.

    Node 0 is the input, max-pooled where `pool` > 1. Node j applies its operation to the channel
    concatenation of its predecessors. The shortcut starts before the pooling: identity where the
    shapes agree, else a projection.

    Args:
        topology: At least one edge; nodes that node 0 does not reach are ignored.
        in_channels: C of the input.
        width: Channels of each node after node 0.
        pool: Factor by which height and width shrink.
        activation: Non-linearity of the operations.
        norm: Settings of batch normalisation.

    Attributes:
        out_channels: Leaves times width.
    """

    def __init__(
        self,
        topology: Topology,
        in_channels: int,
        width: int,
        pool: int,
        activation: Activation,
        norm: Norm,
    ) -> None:
        super().__init__()
        topology = topology.pruned()
        self.topology = topology
        self.in_channels, self.pool = in_channels, pool
        self.leaves = topology.leaves
        self.out_channels = len(self.leaves) * width
        self.predecessors = {
            node: topology.predecessors(node) for node in sorted(topology.reachable - {0})
        }
        self.nodes = nn.ModuleDict()
        for node, before in self.predecessors.items():
            self.nodes[str(node)] = OPERATIONS[topology.ops[node]](
                sum(width if source else in_channels for source in before),
                width,
                activation,
                norm,
                linear=node in self.leaves,
            )
        same_shape = pool == 1 and in_channels == self.out_channels
        self.shortcut: nn.Module = (
            nn.Identity() if same_shape else Projection(in_channels, self.out_channels, pool, norm)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, ceil(H / pool), ceil(W / pool))."""
        states = {0: max_pool_same(x, self.pool)}
        for node, before in self.predecessors.items():
            states[node] = self.nodes[str(node)](concatenate([states[i] for i in before]))
        out: Tensor = concatenate([states[leaf] for leaf in self.leaves]) + self.shortcut(x)
        return out

    def extra_repr(self) -> str:
        ops = ", ".join(f"{node}={self.topology.ops[node]}" for node in self.predecessors)
        edges = ", ".join(f"{source}-{target}" for source, target in self.topology.edges)
        leaves = ", ".join(map(str, self.leaves))
        shortcut = "identity" if isinstance(self.shortcut, nn.Identity) else "projection"
        return (
            f"{self.in_channels}, {self.out_channels}, pool={self.pool}, nodes=({ops}), "
            f"edges=({edges}), leaves=({leaves}), shortcut={shortcut}"
        )

    def __repr__(self) -> str:
        """One line: its parts follow from the topology, and a network has many cells."""
        return f"{type(self).__name__}({self.extra_repr()})"


class Head(nn.Module):
    """Optional 1x1 convolution, global average pool, linear classifier with bias."""

    def __init__(self, in_channels: int, classes: int, plan: CnnPlan) -> None:
        super().__init__()
        features = plan.head_filters or in_channels
        self.conv: nn.Module = (
            ConvNormAct(in_channels, features, plan.activation, plan.norm)
            if plan.head_filters
            else nn.Identity()
        )
        self.classifier = Classifier(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, classes)."""
        logits: Tensor = self.classifier(self.conv(x).mean(dim=(2, 3)))
        return logits


class CellNetwork(nn.Module):
    """An image classifier made of one cell, repeated as a plan says: stem, stages, head.

    It also serves as a backbone, for images of any size.

    Attributes:
        feature_channels: Channels of each map that `features` returns.
        feature_strides: Pixels of the image to one pixel of each of these maps.
    """

    def __init__(self, topology: Topology, plan: CnnPlan, shape: ImageShape) -> None:
        super().__init__()
        self.stem = ConvNormAct(
            shape.channels,
            plan.stem_filters,
            plan.activation,
            plan.norm,
            size=STEM_SIZE,
            stride=plan.stem_stride,
        )
        channels, stride = plan.stem_filters, plan.stem_stride
        maps: list[tuple[int, int]] = []
        self.stages = nn.Sequential()
        for stage in plan.stages:
            cells = nn.Sequential()
            for number in range(stage.cells):
                pool = stage.pool if number == 0 else 1
                cell = Cell(topology, channels, stage.width, pool, plan.activation, plan.norm)
                channels = cell.out_channels
                cells.append(cell)
            self.stages.append(cells)
            stride *= stage.pool
            maps.append((channels, stride))
        self.feature_channels = tuple(channels for channels, _ in maps)
        self.feature_strides = tuple(stride for _, stride in maps)
        self.head = Head(channels, shape.classes, plan)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        logits: Tensor = self.head(self.stages(self.stem(x)))
        return logits

    def features(self, x: Tensor) -> list[Tensor]:
        """Images (B, C, H, W) to the map after each stage, the finest first.

        Map i is (B, feature_channels[i], ceil(H / s), ceil(W / s)) with s = feature_strides[i].
        The head takes no part, so its weights get no gradient.
        """
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def parameters_by_role(self) -> dict[str, list[nn.Parameter]]:
        """All parameters, each under the one role that weight decay gives it.

        `kernel`: stem, 1x1, pointwise and classifier kernels; `depthwise`: depthwise kernels;
        `projection`: kernels of shortcuts; `other`: batch normalisation and biases.
        """
        roles: dict[str, list[nn.Parameter]] = {role: [] for role in ROLES}
        for module in self.modules():
            for name, parameter in module.named_parameters(recurse=False):
                role = getattr(module, "role", "other") if name == "weight" else "other"
                roles[role].append(parameter)
        return roles


class CnnSpace:
    """The search space of image cells."""

    name = "cnn"
    task = "image"
    nodes = 8
    keep_fraction = 0.01
    data = "digits"
    Macro: type[Settings] = CnnMacro

    def initial(self, nodes: int, seed: int) -> Topology:
        """The complete cell, its operations used equally often, in an order drawn from `seed`.

        Node 0's operation is drawn with the others. With an odd number of nodes the first
        operation is used once more.
        """
        names = list(OPERATIONS)
        balanced = [names[node % len(names)] for node in range(nodes)]
        return Topology.complete(tuple(shuffled(balanced, seed, "operations")))

    def check(self, topology: Topology) -> None:
        """Raises TopologyError unless the cell has an edge and only this space's operations."""
        check_cell(topology, OPERATIONS)

    def build(self, topology: Topology, macro: CnnMacro, shape: ImageShape) -> CellNetwork:
        """The untrained network, its weights drawn from torch's global generator.

        Raises:
            TopologyError: If the space does not have the cell.
        """
        self.check(topology)
        network = CellNetwork(topology, macro.plan, shape)
        if macro.initializer == "fan_out_normal":
            fan_out_normal_(network)
        return network

    def cost(self, topology: Topology, macro: CnnMacro, shape: ImageShape) -> dict[str, int]:
        """`macs` of one image, `params` and `params_without_bn` of the network."""
        self.check(topology)
        return cnn_cost(topology, macro.plan, shape).metrics


SPACE = CnnSpace()
