"""Networks with weights, for the tests of evaluation and export."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoshrink_ray import plugins
from autoshrink_ray.contracts import DataRequest, ImageShape, TextShape
from autoshrink_ray.ledger import End
from autoshrink_ray.storage import Folder
from autoshrink_ray.topology import Topology
from search_spaces.build import build
from search_spaces.cnn import OPERATIONS, CnnMacro, CnnSpace
from search_spaces.network import NetworkFile
from search_spaces.rnn import ACTIVATIONS, RnnMacro
from trainables.final.config import TrainConfig, TrainPlan
from trainables.final.folder import NETWORK, WEIGHTS, TrainFile, TrainingRun
from trainables.final.weights import WeightsCard, write_weights

CELL = Topology(("conv1x1", "sep3x3", "conv1x1"), ((0, 1), (1, 2)))
GATED = Topology(("tanh", "relu", "sigmoid"), ((0, 1), (1, 2)))


def random_topology(ops: Sequence[str], seed: int, nodes: int = 5) -> Topology:
    """Any cell of a space: every operation and every set of edges can come up."""
    source = random.Random(seed)
    pairs = list(itertools.combinations(range(nodes), 2))
    edges = {(0, source.randrange(1, nodes)), *source.sample(pairs, source.randrange(len(pairs)))}
    return Topology(tuple(source.choices(ops, k=nodes)), tuple(sorted(edges))).pruned()


def image_network(topology: Topology = CELL, classes: int = 10, **changes: Any) -> NetworkFile:
    """Two stages on 8 x 8 gray images, or on others."""
    size, channels = changes.pop("size", 8), changes.pop("channels", 1)
    settings = {"stem_filters": 4, "base_width": 4, "scale": (1, 2), "pools": (1, 2)} | changes
    shape = ImageShape(channels, size, size, classes)
    return NetworkFile.of("cnn", topology, CnnMacro(**settings), shape, recipe="digits")


def text_network(topology: Topology = GATED, vocabulary: int = 12, hidden: int = 8) -> NetworkFile:
    """A language model with all dropouts, which must not act in evaluation."""
    rates = ("words", "embedding", "input", "hidden", "output")
    macro = RnnMacro(hidden_size=hidden, **{f"dropout_{name}": 0.5 for name in rates})
    return NetworkFile.of("rnn", topology, macro, TextShape(vocabulary), recipe="ptb")


def random_network(space: str, seed: int) -> NetworkFile:
    """A network around a random cell, with every kind of layer."""
    if space == "rnn":
        return text_network(random_topology(list(ACTIVATIONS), seed))
    return image_network(
        random_topology(list(OPERATIONS), seed),
        size=(17, 18, 19)[seed % 3],
        channels=3,
        stem_stride=2,
        pools=(2, 3),
        replicate=(1, 2),
        head_filters=8 * (seed % 2),
        activation=("relu", "swish")[seed % 2],
    )


def trained(network: NetworkFile, **inputs: Any) -> tuple[nn.Module, dict[str, Tensor], Any]:
    """The network with weights as if trained: batch statistics and biases are not trivial."""
    torch.manual_seed(0)
    module: nn.Module = build(network)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("norm.weight"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                tensor.normal_(0, 0.2)
        _take_statistics(module, network)
    card = WeightsCard(
        network=network.sha256,
        inputs=inputs,
        metrics={"accuracy": 0.5},
        provenance={"run": "first", "data": "digits"},
    )
    return module.eval(), module.state_dict(), card


def _take_statistics(module: nn.Module, network: NetworkFile) -> None:
    """Fits all batch statistics to a batch, so that activations have a scale as after training."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    if norms:
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0
        module.train()(real_inputs(network, 8))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def real_inputs(network: NetworkFile, count: int = 9) -> Tensor:
    """Images (count, C, H, W) or words (count, 3)."""
    torch.manual_seed(1)
    entry = network.input.model_dump()
    if "vocabulary" in entry:
        return torch.randint(0, entry["vocabulary"], (count, 3))
    return torch.randn(count, entry["channels"], entry["height"], entry["width"])


def write_text(folder: Path) -> list[str]:
    """`text:FOLDER` of 12 words and 160 words or more a split; returns the vocabulary."""
    source = random.Random(0)
    folder.mkdir(parents=True)
    for split in ("train", "valid", "test"):
        words = [f"w{source.randrange(11)}" for _ in range(160)]
        text = "\n".join(" ".join(words[i : i + 10]) for i in range(0, 160, 10))
        Path(folder, f"{split}.txt").write_text(text)
    options: dict[str, Any] = {}
    return list(plugins.dataset("text")(DataRequest(f"text:{folder}", options)).vocabulary)  # type: ignore[attr-defined]


def write_training(folder: Path, network: NetworkFile, data: str, **inputs: Any) -> TrainingRun:
    """The folder of a finished training, without its checkpoints."""
    _, weights, card = trained(network, **inputs)
    plan = TrainPlan.of(network, TrainConfig(data=data, settings={"valid_batch_size": 4}))
    place = Folder(str(folder))
    TrainFile(
        name=folder.name,
        created="2026-01-01T00:00:00+00:00",
        identity={},
        config=plan.config.model_dump(mode="json"),
        quality=plan.task.quality,
        data_summary="",
        versions={},
        end=End(status="finished"),
    ).write(place)
    place.write(NETWORK, network.to_json())
    write_weights(place, WEIGHTS, weights, card)
    return TrainingRun(str(folder))


class _OtherTask(CnnSpace):
    """Image cells for a task of somebody's own."""

    task = "mine"


OTHER_TASK = _OtherTask()
