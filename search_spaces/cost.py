"""Multiply-accumulates and parameters, from topology and plan alone: no module is built.

A k x k convolution has Ho * Wo * k * k * Cin * Cout MACs, a depthwise one H * W * k * k * C.
Shortcut projections count; batch normalisation, activations, pooling and concatenation do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autoshrink_ray.contracts import ImageShape
from autoshrink_ray.topology import Topology
from search_spaces.plan import STEM_SIZE, CnnPlan


@dataclass(frozen=True)
class Cost:
    """What a part of an image network costs; parts add up.

    Attributes:
        macs: Multiply-accumulates for one image.
        params: Trainable parameters.
        params_without_bn: The same without batch normalisation's, as the paper's tables count.
    """

    macs: int = 0
    params: int = 0
    params_without_bn: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.macs + other.macs,
            self.params + other.params,
            self.params_without_bn + other.params_without_bn,
        )

    @property
    def metrics(self) -> dict[str, int]:
        """The three numbers by name."""
        return {
            "macs": self.macs,
            "params": self.params,
            "params_without_bn": self.params_without_bn,
        }


@dataclass(frozen=True)
class _Map:
    """Shape of a feature map."""

    channels: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.height * self.width

    def resized(self, channels: int, stride: int = 1) -> _Map:
        return _Map(channels, -(-self.height // stride), -(-self.width // stride))


@dataclass(frozen=True)
class _Place:
    """Where a cell stands in its network."""

    before: _Map
    after: _Map
    width: int
    pool: int
    first: bool

    @property
    def projects(self) -> bool:
        return self.pool > 1 or self.before.channels != self.after.channels


def cnn_cost(topology: Topology, plan: CnnPlan, shape: ImageShape) -> Cost:
    """Cost of an image network for one image of `shape`.

    Args:
        topology: At least one edge; unreachable nodes cost nothing.
        plan: The network around the cell.
        shape: Channels, height, width and classes.
    """
    topology = topology.pruned()
    image, here = _Map(shape.channels, shape.height, shape.width), _after_stem(plan, shape)
    cost = _conv_norm(image, here, STEM_SIZE)
    for place in _places(topology, plan, shape):
        cost, here = cost + _cell(topology, place), place.after
    if plan.head_filters:
        after = here.resized(plan.head_filters)
        cost, here = cost + _conv_norm(here, after), after
    return cost + _classifier(here.channels, shape.classes)


def shortcut_slack(topology: Topology, plan: CnnPlan, shape: ImageShape) -> tuple[Cost, Cost]:
    """Costs of the projections that depend on the widths: those that are there, those that are not.

    The first cell of a stage that does not pool needs no projection where the widths before and
    in the stage happen to fit, so a wider network may cost less. The network's cost minus the
    first value, and plus the second, do grow with the widths.
    """
    paid, saved = Cost(), Cost()
    for place in _places(topology.pruned(), plan, shape):
        if place.first and place.pool == 1:
            projection = _conv_norm(place.before, place.after)
            if place.projects:
                paid += projection
            else:
                saved += projection
    return paid, saved


def _after_stem(plan: CnnPlan, shape: ImageShape) -> _Map:
    image = _Map(shape.channels, shape.height, shape.width)
    return image.resized(plan.stem_filters, plan.stem_stride)


def _places(topology: Topology, plan: CnnPlan, shape: ImageShape) -> Iterator[_Place]:
    here = _after_stem(plan, shape)
    for stage in plan.stages:
        for number in range(stage.cells):
            pool = stage.pool if number == 0 else 1
            after = here.resized(len(topology.leaves) * stage.width, pool)
            yield _Place(here, after, stage.width, pool, first=number == 0)
            here = after


def _cell(topology: Topology, place: _Place) -> Cost:
    cost = _conv_norm(place.before, place.after) if place.projects else Cost()
    pooled = place.before.resized(place.before.channels, place.pool)
    for node in topology.reachable - {0}:
        sources = topology.predecessors(node)
        channels = sum(place.width if source else pooled.channels for source in sources)
        cost += _operation(
            topology.ops[node], pooled.resized(channels), pooled.resized(place.width)
        )
    return cost


def _operation(op: str, before: _Map, after: _Map) -> Cost:
    if op == "conv1x1":
        return _conv_norm(before, after)
    kernel = 3 * 3 * before.channels
    depthwise = Cost(before.pixels * kernel, kernel + 2 * before.channels, kernel)
    return depthwise + _conv_norm(before, after)


def _conv_norm(before: _Map, after: _Map, size: int = 1) -> Cost:
    kernel = size * size * before.channels * after.channels
    return Cost(after.pixels * kernel, kernel + 2 * after.channels, kernel)


def _classifier(features: int, classes: int) -> Cost:
    params = features * classes + classes
    return Cost(features * classes, params, params)


def rnn_cost(topology: Topology, hidden_size: int, vocabulary: int) -> dict[str, int]:
    """Cost of a recurrent language model whose embedding has `hidden_size` and is tied.

    Args:
        topology: The cell; only edges that node 0 reaches count.
        hidden_size: H, also the size of the embedding.
        vocabulary: V.

    Returns:
        `macs` of one token without the decoder; `decoder_macs` of one token, V * H; `params` of
        the whole model, the tied embedding once; `cost` = |E| * H^2, which the search's score
        reads in place of MACs.
    """
    square = hidden_size * hidden_size
    edges = len(topology.pruned().edges)
    cell = 4 * square + 2 * edges * square  # W0 is (2H, 2H), each edge's matrix (H, 2H)
    return {
        "macs": cell,
        "params": cell + vocabulary * hidden_size + vocabulary,
        "cost": edges * square,
        "decoder_macs": vocabulary * hidden_size,
    }
