"""From a network file to a module that anyone can use."""

from __future__ import annotations

from typing import Any

from autoshrink_ray import plugins
from search_spaces.network import NetworkFile


def build(network: NetworkFile) -> Any:
    """The untrained `torch.nn.Module` of a network file.

    Weights are drawn from torch's global generator, so `torch.manual_seed` before fixes them.
    """
    space = plugins.space(network.space)
    return space.build(network.topology, network.macro_settings, network.shape)
