"""Recurrent language-model cells: a gated DAG over one state per node."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from autoshrink_ray.contracts import Settings, TextShape
from autoshrink_ray.seeds import derive_seed
from autoshrink_ray.topology import Topology
from search_spaces.cost import rnn_cost
from search_spaces.vocabulary import check_cell


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": _identity,
}
"""The node operations, by name."""

WEIGHT_RANGE = 0.04
"""Weights of the cell start uniform between minus and plus this."""

EMBEDDING_RANGE = 0.5
"""Embeddings start uniform between minus and plus this."""

DropoutRate = Annotated[float, Field(ge=0, lt=1)]


class RnnMacro(Settings):
    """The language model around a cell, in a search and derived; the defaults are the search's.

    All dropout is variational: its masks are drawn once a segment, in training only.

    Attributes:
        hidden_size: Size of the cell's state and, the decoder being tied, of the embedding.
        dropout_words: Part of the vocabulary whose embeddings are dropped.
        dropout_embedding: Part of the embedded words' elements that is dropped.
        dropout_input: Part of the cell's input x that is dropped.
        dropout_hidden: Part of the states that is dropped where an edge reads them.
        dropout_output: Part of the outputs that is dropped before the decoder.
    """

    hidden_size: Annotated[int, Field(ge=1, le=100_000)] = 100
    dropout_words: DropoutRate = 0.0
    dropout_embedding: DropoutRate = 0.0
    dropout_input: DropoutRate = 0.0
    dropout_hidden: DropoutRate = 0.0
    dropout_output: DropoutRate = 0.0


class RecurrentCell(nn.Module):
    """A gated DAG cell, run over a segment of T time steps.

    With input x and state h:

        [c0, g0] = [x, h] W0                s_0 = h + sigmoid(c0) * (tanh(g0) - h)
        [c, g] = s_i W_ij                   message = s_i + sigmoid(c) * (f_j(g) - s_i)
        s_j = mean of its messages          new h = output = mean of the leaves' states

    Dropout is variational: one mask for x and one for the states, drawn once a segment. Every
    product with a weight reads the dropped state; the gates' residual parts read the full one.

    Args:
        topology: At least one edge; nodes that node 0 does not reach are ignored.
        input_size: D.
        hidden_size: H.
        dropout_input: Probability with which an element of x is dropped.
        dropout_hidden: Probability with which an element of a state is dropped.

    Attributes:
        input_weight: W0, (D + H, 2H).
        edge_weight: W_ij of the n-th reachable edge, (|E|, H, 2H).
    """

    def __init__(
        self,
        topology: Topology,
        input_size: int,
        hidden_size: int,
        dropout_input: float = 0.0,
        dropout_hidden: float = 0.0,
    ) -> None:
        super().__init__()
        topology = topology.pruned()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.dropout_input, self.dropout_hidden = dropout_input, dropout_hidden
        self.leaves = topology.leaves
        self.activations = {
            node: ACTIVATIONS[topology.ops[node]] for node in topology.reachable - {0}
        }
        self.successors = {
            node: tuple(target for source, target in topology.edges if source == node)
            for node in sorted(topology.reachable - set(topology.leaves))
        }
        self.input_weight = nn.Parameter(torch.empty(input_size + hidden_size, 2 * hidden_size))
        self.edge_weight = nn.Parameter(
            torch.empty(len(topology.edges), hidden_size, 2 * hidden_size)
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all weights uniformly from torch's global generator."""
        nn.init.uniform_(self.input_weight, -WEIGHT_RANGE, WEIGHT_RANGE)
        nn.init.uniform_(self.edge_weight, -WEIGHT_RANGE, WEIGHT_RANGE)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the cell over a segment.

        Args:
            x: (T, B, D).
            h: (B, H), the state before the first step.

        Returns:
            The outputs (T, B, H) and the last of them, which is the new state (B, H).
        """
        x = _dropped(x, _mask(x[0], self._rate(self.dropout_input)))
        h_mask = _mask(h, self._rate(self.dropout_hidden))
        x_weight, h_weight = torch.split(self.input_weight, [self.input_size, self.hidden_size])
        source_weights = self._source_weights()
        outputs = []
        for x_part in (x @ x_weight).unbind(0):
            c, g = torch.addmm(x_part, _dropped(h, h_mask), h_weight).chunk(2, dim=1)
            h = self._leaf_mean(torch.lerp(h, g.tanh(), c.sigmoid()), h_mask, source_weights)
            outputs.append(h)
        return torch.stack(outputs), h

    def _source_weights(self) -> list[Tensor]:
        """W_i0 | W_i1 | ... of each source i: one product serves all edges that leave it."""
        counts = [len(targets) for targets in self.successors.values()]
        return [
            weights.permute(1, 0, 2).reshape(self.hidden_size, -1)
            for weights in torch.split(self.edge_weight, counts)
        ]

    def _leaf_mean(self, state: Tensor, h_mask: Tensor | None, weights: list[Tensor]) -> Tensor:
        """Passes s_0 through the DAG: (B, H) to (B, H)."""
        inbox: dict[int, list[Tensor]] = {0: [state]}
        for (source, targets), weight in zip(self.successors.items(), weights, strict=True):
            state = _mean(inbox.pop(source))
            parts = torch.split(_dropped(state, h_mask) @ weight, self.hidden_size, dim=1)
            for target, c, g in zip(targets, parts[::2], parts[1::2], strict=True):
                message = torch.lerp(state, self.activations[target](g), c.sigmoid())
                inbox.setdefault(target, []).append(message)
        return _mean([_mean(inbox[leaf]) for leaf in self.leaves])

    def extra_repr(self) -> str:
        names = {function: name for name, function in ACTIVATIONS.items()}
        ops = ", ".join(f"{node}={names[f]}" for node, f in sorted(self.activations.items()))
        edges = ", ".join(f"{i}-{j}" for i, after in self.successors.items() for j in after)
        leaves = ", ".join(map(str, self.leaves))
        return (
            f"{self.input_size}, {self.hidden_size}, nodes=({ops}), edges=({edges}), "
            f"leaves=({leaves})"
        )

    def _rate(self, rate: float) -> float:
        return rate if self.training else 0.0


def _mask(like: Tensor, rate: float) -> Tensor | None:
    """Zeros with probability `rate`, else 1 / (1 - rate), in the shape of `like`."""
    if rate == 0:
        return None
    return torch.empty_like(like).bernoulli_(1 - rate).div_(1 - rate)


def _dropped(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def _mean(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else reduce(torch.add, tensors) / len(tensors)


class LanguageModel(nn.Module):
    """Embedding, recurrent cell, and a decoder with bias that is tied to the embedding.

    Attributes:
        embedding: (V, H), also the decoder's weight.
        cell: The recurrent cell.
        decoder_bias: (V,).
    """

    def __init__(self, topology: Topology, macro: RnnMacro, shape: TextShape) -> None:
        super().__init__()
        size = macro.hidden_size
        self.embedding = nn.Embedding(shape.vocabulary, size)
        self.cell = RecurrentCell(topology, size, size, macro.dropout_input, macro.dropout_hidden)
        self.decoder_bias = nn.Parameter(torch.zeros(shape.vocabulary))
        self.dropout_words = macro.dropout_words
        self.dropout_embedding = macro.dropout_embedding
        self.dropout_output = macro.dropout_output
        nn.init.uniform_(self.embedding.weight, -EMBEDDING_RANGE, EMBEDDING_RANGE)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, H) with the model's device and precision."""
        return self.decoder_bias.new_zeros(batch, self.cell.hidden_size)

    def features(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """What the model knows after each word of a segment, before the decoder.

        Args:
            tokens: (T, B) word numbers.
            state: (B, H), from `initial_state` or the segment before.

        Returns:
            Outputs (T, B, H) without output dropout, and the new state (B, H), both still part
            of the autograd graph.
        """
        outputs, state = self.cell(self._embedded(tokens), state)
        return outputs, state

    def _embedded(self, tokens: Tensor) -> Tensor:
        if not self.training:
            return self.embedding(tokens)  # type: ignore[no-any-return]
        weight = self.embedding.weight
        weight = _dropped(weight, _mask(weight[:, :1], self.dropout_words))
        embedded = F.embedding(tokens, weight)
        return _dropped(embedded, _mask(embedded[0], self.dropout_embedding))

    def drop_output(self, outputs: Tensor) -> Tensor:
        """Outputs (T, B, H) with output dropout in training, which only the decoder reads."""
        return _dropped(outputs, _mask(outputs[0], self.dropout_output if self.training else 0.0))

    def forward(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Predicts each next word of a segment.

        Args:
            tokens: (T, B) word numbers.
            state: (B, H), from `initial_state` or the segment before.

        Returns:
            Logits (T, B, V) and the new state (B, H), still part of the autograd graph.
        """
        outputs, state = self.features(tokens, state)
        logits = F.linear(self.drop_output(outputs), self.embedding.weight, self.decoder_bias)
        return logits, state


class RnnSpace:
    """The search space of recurrent cells."""

    name = "rnn"
    task = "text"
    nodes = 6
    keep_fraction = 0.25
    data = "pydoc"
    Macro: type[Settings] = RnnMacro

    def initial(self, nodes: int, seed: int) -> Topology:
        """The complete cell, each node's activation drawn uniformly from `seed`."""
        names = list(ACTIVATIONS)
        ops = (names[derive_seed(seed, "operation", node) % len(names)] for node in range(nodes))
        return Topology.complete(tuple(ops))

    def check(self, topology: Topology) -> None:
        """Raises TopologyError unless the cell has an edge and only this space's activations."""
        check_cell(topology, ACTIVATIONS)

    def build(self, topology: Topology, macro: RnnMacro, shape: TextShape) -> LanguageModel:
        """The untrained language model, its weights drawn from torch's global generator.

        Raises:
            TopologyError: If the space does not have the cell.
        """
        self.check(topology)
        return LanguageModel(topology, macro, shape)

    def cost(self, topology: Topology, macro: RnnMacro, shape: TextShape) -> dict[str, int]:
        """`macs` of one token, `params`, `cost` = |E| * H^2 and `decoder_macs` of the model."""
        self.check(topology)
        return rnn_cost(topology, macro.hidden_size, shape.vocabulary)


SPACE = RnnSpace()
