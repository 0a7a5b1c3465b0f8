"""Networks in other people's hands: features, training loops, seeds, printing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search_spaces import CELLS, build
from search_spaces.derive import derive
from search_spaces.network import NetworkFile
from tests.search_spaces.networks import image_networks

SHRINK = CELLS["shrink-cnn-a"].cell
DIGITS = derive(SHRINK, "digits")
IMAGENET = derive(SHRINK, "imagenet", macro={"channel_scale": 0.25})


@settings(deadline=None, max_examples=25)
@given(image_networks(), st.integers(1, 40), st.integers(1, 40))
def test_features_have_the_channels_and_strides_that_are_stated(
    network: NetworkFile, height: int, width: int
) -> None:
    module = build(network).eval()
    with torch.no_grad():
        maps = module.features(torch.randn(2, network.shape.channels, height, width))
    assert len(maps) == len(network.macro["scale"])
    assert [tuple(map_.shape) for map_ in maps] == [
        (2, channels, -(-height // stride), -(-width // stride))
        for channels, stride in zip(module.feature_channels, module.feature_strides, strict=True)
    ]


def test_features_are_those_that_the_classifier_sees() -> None:
    module = build(IMAGENET).eval()
    assert module.feature_strides == (2, 4, 8, 16, 32)
    images = torch.randn(1, 3, 65, 50)
    maps = module.features(images)
    assert torch.equal(module.head(maps[-1]), module(images))
    assert torch.equal(module.stages[0](module.stem(images)), maps[0])


@pytest.mark.parametrize("activation", ["relu", "swish"])
def test_no_map_is_changed_by_the_stages_behind_it(activation: str) -> None:
    module = build(derive(SHRINK, "digits", macro={"activation": activation})).train()
    kept: list[torch.Tensor] = []
    for stage in module.stages:
        stage.register_forward_hook(lambda _module, _inputs, out: kept.append(out.clone()))
    maps = module.features(torch.randn(4, 1, 8, 8))
    assert all(torch.equal(before, after) for before, after in zip(kept, maps, strict=True))


class Segmenter(nn.Module):
    """Somebody's own head on every map of a backbone."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleList(nn.Conv2d(c, 2, 1) for c in backbone.feature_channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = zip(self.heads, self.backbone.features(images), strict=True)
        size = images.shape[-2:]
        return sum(F.interpolate(head(map_), size) for head, map_ in maps)  # type: ignore


def test_a_backbone_learns_in_a_plain_training_loop() -> None:
    torch.manual_seed(0)
    images = torch.randn(16, 1, 12, 10)
    bright = (images[:, 0] > 0).long()
    module = Segmenter(build(DIGITS))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(module(images), bright)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    trained = {name for name, p in module.named_parameters() if p.grad is not None}
    rest = {name for name, _ in module.named_parameters()} - trained
    assert rest == {"backbone.head.classifier.weight", "backbone.head.classifier.bias"}


@pytest.mark.parametrize("network", [DIGITS, IMAGENET, CELLS["shrink-rnn"].network])
def test_the_global_seed_fixes_the_weights(network: NetworkFile) -> None:
    small = derive(CELLS["shrink-rnn"].cell, "ptb", macro={"hidden_size": 8})
    network = small if network.task == "text" else network

    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return dict(build(network).state_dict())

    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    kernels = [name for name in first if name.endswith("weight") and "norm" not in name]
    assert not any(torch.equal(first[name], other[name]) for name in kernels)


def test_a_network_prints_its_cells_in_one_line_each() -> None:
    text = repr(build(IMAGENET))
    assert len(text.splitlines()) < 60
    assert text.count("Cell(") == 18
    line = next(line for line in text.splitlines() if "Cell(" in line)
    assert line.strip() == (
        "(0): Cell(8, 8, pool=1, nodes=(1=sep3x3, 2=sep3x3, 3=sep3x3, 4=conv1x1), "
        "edges=(0-1, 0-2, 0-3, 0-4, 1-3, 2-4), leaves=(3, 4), shortcut=identity)"
    )


def test_a_language_model_prints_its_cell() -> None:
    text = repr(build(derive(CELLS["shrink-rnn"].cell, "ptb", macro={"hidden_size": 8})))
    assert "RecurrentCell(8, 8, nodes=(1=identity, 2=sigmoid, 3=sigmoid, 4=tanh, 5=id" in text
    assert "edges=(0-1, 0-2, 0-3, 0-4, 0-5, 1-3, 1-4, 1-5, 2-4, 2-5, 3-4, 3-5)" in text
    assert "leaves=(4, 5)" in text
