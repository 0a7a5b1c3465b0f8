"""What of a network is exported: a module, the names of its inputs, and how it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoshrink_ray.errors import ConfigError, DataError
from search_spaces.build import build
from search_spaces.network import ImageInput, NetworkFile
from trainables.export.card import BATCH, TensorInfo
from trainables.final.weights import load_weights

_BATCH_SIZE = 16
"""Images that the check runs at once."""

Tensors = tuple[Tensor, ...]


class Runner(Protocol):
    """Runs an exported file."""

    def __call__(self, inputs: Tensors) -> Tensors:
        """All inputs in order to all outputs in order, on the CPU."""
        ...


@dataclass(frozen=True)
class Unit:
    """A module that is called with one tensor and perhaps a state, on the CPU, in inference.

    Outputs after the first one are the state of the next call.

    Attributes:
        module: Tensors (B, ...) to one tensor (B, ...) or a tuple of them.
        input_names: What the inputs are called.
        output_names: What the outputs are called.
        example: Inputs of batch size 2.
    """

    module: nn.Module
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    example: Tensors

    @torch.no_grad()
    def __call__(self, inputs: Tensors) -> Tensors:
        """What the torch network computes."""
        return as_tuple(self.module(*inputs))

    def state(self, batch: int) -> Tensors:
        """Zeros, the state before the first call."""
        return tuple(torch.zeros(batch, *tensor.shape[1:]) for tensor in self.example[1:])

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """What goes in."""
        return _infos(self.input_names, self.example)

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """What comes out."""
        return _infos(self.output_names, self(self.example))


def as_tuple(outputs: Tensor | Tensors) -> Tensors:
    """Outputs of a module as a tuple, also where there is only one."""
    return (outputs,) if isinstance(outputs, Tensor) else outputs


def _infos(names: Sequence[str], tensors: Tensors) -> tuple[TensorInfo, ...]:
    return tuple(
        TensorInfo(
            name=name,
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=(BATCH, *tensor.shape[1:]),
        )
        for name, tensor in zip(names, tensors, strict=True)
    )


class _Step(nn.Module):
    """One time step: words (B,) and state (B, H) to logits (B, V) and the new state."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, state: Tensor) -> Tensors:
        outputs, state = self.network.features(tokens.unsqueeze(0), state)
        network = self.network
        return F.linear(outputs[0], network.embedding.weight, network.decoder_bias), state


def unit(network: NetworkFile, weights: Mapping[str, Tensor]) -> Unit:
    """What is exported of a network.

    An image network as a whole; of a language model one time step, tied decoder included, so that
    whoever uses the file keeps the state and can go on for as long as they like.

    Raises:
        FileFormatError: If the weights do not fit, naming the first mismatch.
        ConfigError: If the network is for another task than `image` or `text`.
    """
    if network.task not in ("image", "text"):
        raise ConfigError(f"networks for task image or text can be exported, got {network.task!r}")
    with torch.random.fork_rng(devices=[]):
        module = build(network)
    load_weights(module, weights)
    module.eval()
    if isinstance(network.input, ImageInput):
        shape = (network.input.channels, network.input.height, network.input.width)
        return Unit(module, ("images",), ("logits",), (torch.zeros(2, *shape),))
    example = (torch.zeros(2, dtype=torch.int64), module.initial_state(2).detach())
    return Unit(_Step(module).eval(), ("tokens", "state"), ("logits", "new_state"), example)


def sequences(network: NetworkFile, inputs: Tensor) -> list[list[Tensor]]:
    """Cuts real inputs into sequences of calls, of batch size 1 first and then of more.

    Args:
        network: What they are for.
        inputs: Prepared images, float32 (N, C, H, W), N > 2; or words, int64 (T, B), B > 2.

    Returns:
        Sequences of tensors (B, ...). The state goes on within a sequence: images are sequences
        of one call, words one of T calls for the first column and one for the others together.

    Raises:
        DataError: If the inputs are not of that type and shape.
    """
    if isinstance(network.input, ImageInput):
        size = (network.input.channels, network.input.height, network.input.width)
        if inputs.dtype != torch.float32 or inputs.shape[1:] != size or len(inputs) < 3:
            raise DataError(
                f"an export is checked with at least 3 images, float32 of shape {size}, "
                f"got {_described(inputs)}"
            )
        return [[inputs[:1]], *([batch] for batch in torch.split(inputs[1:], _BATCH_SIZE))]
    if inputs.dtype != torch.int64 or inputs.ndim != 2 or len(inputs) < 1 or inputs.shape[1] < 3:
        raise DataError(
            f"an export is checked with words, int64 of shape (words, at least 3 columns), "
            f"got {_described(inputs)}"
        )
    return [list(inputs[:, :1]), list(inputs[:, 1:])]


def _described(inputs: Tensor) -> str:
    return f"{str(inputs.dtype).removeprefix('torch.')} of shape {tuple(inputs.shape)}"
