"""The moving average of a network's weights in training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """An average that starts at the weights of `network` as they are now.

    Update number n = 1, 2, ... keeps min(decay, (1 + n) / (10 + n)) of the average (paper,
    "ImageNet"). torch's `AveragedModel` would ask the device for n in every step and wait.

    Args:
        network: Whose weights are averaged, on its device.
        decay: Share of the past in the long run.

    Attributes:
        module: A network with the averaged weights.
        updates: How often they were updated.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False)
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Takes the weights of `network` in."""
        self.updates += 1
        kept = min(self._decay, (1 + self.updates) / (10 + self.updates))
        averages: list[Tensor] = list(self.module.parameters())
        weights: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(averages, weights, 1 - kept)

    @torch.no_grad()
    def take_buffers(self, network: nn.Module) -> None:
        """Copies what is not averaged, such as the statistics of batch normalisation."""
        for own, other in zip(self.module.buffers(), network.buffers(), strict=True):
            own.copy_(other)
