"""What a network costs, counted on the torch module that is built from it.

`search_spaces.cost` gets the same numbers from topology and plan alone. The module lives on
torch's meta device: it has shapes, but no numbers, and computes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoshrink_ray.contracts import TextShape
from search_spaces.build import build
from search_spaces.network import NetworkFile

_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Layer:
    """A module that has parameters or multiplies by itself, apart from the modules inside it.

    Attributes:
        name: Its name in the network; empty for the network itself.
        kind: Its class.
        output: Shape of what it returns for one image, or one word.
        params: Its trainable parameters.
        macs: Its multiply-accumulates.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class Counts:
    """What a network costs.

    Attributes:
        costs: `macs`, `params` and `params_without_bn`; of a language model `macs` is without
            the decoder, whose share is `decoder_macs`.
        activation_bytes: What autograd keeps for the backward pass of one more image, or one more
            word, in training with 32-bit floats.
        layers: In the order of the network.
    """

    costs: Mapping[str, int]
    activation_bytes: int
    layers: tuple[Layer, ...]

    def differences(self, costs: Mapping[str, int]) -> list[str]:
        """Costs of a network file that are not what was counted, in words."""
        return [
            f"{name} is {counted:,} in the built network and {costs[name]:,} in its costs"
            for name, counted in self.costs.items()
            if name in costs and costs[name] != counted
        ]


def count(network: NetworkFile) -> Counts:
    """Counts what a network costs for one image, or one word.

    A convolution with k x k kernels has Ho * Wo * k * k * Cin * Cout multiply-accumulates (MACs), a
    product of matrices as many as its loops; what only adds, compares or normalises has none.
    """
    with torch.device("meta"):
        module = build(network)
    layers = tuple(_layers(module, _inputs(module, network, 1)))
    costs = {
        "macs": sum(layer.macs for layer in layers),
        "params": _params(module.parameters()),
        "params_without_bn": _params(
            parameter
            for part in module.modules()
            if not isinstance(part, _BATCH_NORM)
            for parameter in part.parameters(recurse=False)
        ),
    }
    if isinstance(network.shape, TextShape):
        costs["decoder_macs"] = sum(layer.macs for layer in layers if not layer.name)
        costs["macs"] -= costs["decoder_macs"]
    # normalising takes more than one value, so what the third adds is measured
    two, three = (_kept_bytes(module, _inputs(module, network, batch)) for batch in (2, 3))
    return Counts(costs, three - two, layers)


def _inputs(module: Any, network: NetworkFile, batch: int) -> tuple[Tensor, ...]:
    shape = network.shape
    if isinstance(shape, TextShape):
        words = torch.zeros(1, batch, dtype=torch.long, device="meta")
        return words, module.initial_state(batch)
    size = (batch, shape.channels, shape.height, shape.width)
    return (torch.zeros(size, device="meta"),)


def _params(parameters: Any) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _layers(module: nn.Module, inputs: tuple[Tensor, ...]) -> Iterator[Layer]:
    trace = _Trace(module)
    with torch.no_grad(), trace.counter:
        module.eval()(*inputs)
    trace.remove()
    for name, part in module.named_modules():
        params, macs = _params(part.parameters(recurse=False)), trace.macs[part]
        if params or macs:
            yield Layer(name, type(part).__name__, trace.shapes.get(part, ()), params, macs)


class _Trace:
    """Notes each module's output and what it multiplies outside the modules that it calls."""

    def __init__(self, module: nn.Module) -> None:
        self.counter = FlopCounterMode(display=False)
        self.macs: Counter[nn.Module] = Counter()
        self.shapes: dict[nn.Module, tuple[int, ...]] = {}
        self._running: list[nn.Module] = []
        self._seen = 0
        self._handles = [
            handle
            for part in module.modules()
            for handle in (
                part.register_forward_pre_hook(self._enter),
                part.register_forward_hook(self._leave),
            )
        ]

    def remove(self) -> None:
        """Takes the hooks off the module."""
        for handle in self._handles:
            handle.remove()

    def _enter(self, part: nn.Module, _: Any) -> None:
        self._book()
        self._running.append(part)

    def _leave(self, part: nn.Module, _: Any, output: Any) -> None:
        self._book()
        self._running.pop()
        self.shapes[part] = tuple((output[0] if isinstance(output, tuple) else output).shape)

    def _book(self) -> None:
        """What was multiplied since the last booking is the innermost running module's."""
        total = self.counter.get_total_flops() // 2  # a multiply-accumulate is two operations
        if self._running:
            self.macs[self._running[-1]] += total - self._seen
        self._seen = total


def _kept_bytes(module: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Size of all storages that autograd keeps, but those of the module itself."""
    own = {_storage(tensor) for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, Tensor] = {}  # holding the tensors, so that no storage's number is used again

    def keep(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = module.train()(*inputs)
    del outputs
    return sum(
        tensor.untyped_storage().nbytes() for number, tensor in kept.items() if number not in own
    )


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
