"""A small language model, its text, and its training."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from autoshrink_ray.topology import Topology
from search_spaces.network import NetworkFile
from search_spaces.rnn import RnnMacro
from tests.trainables.support import text_set
from trainables.data import TextSet
from trainables.device import Compute
from trainables.final.contracts import Setup, State, World
from trainables.final.text_recipe import TextRecipe
from trainables.final.text_training import TextTraining

CELL = Topology(("tanh", "relu", "tanh"), ((0, 1), (0, 2), (1, 2)))
DROPOUTS = {
    "dropout_words": 0.1,
    "dropout_embedding": 0.2,
    "dropout_input": 0.3,
    "dropout_hidden": 0.2,
    "dropout_output": 0.3,
}
SMALL = {
    "epochs": 6,
    "batch_size": 4,
    "valid_batch_size": 2,
    "bptt": 6,
    "bptt_jitter": 2.0,
    "shortest_segment": 2,
    "longest_extra": 4,
    "half_length_probability": 0.2,
    "learning_rate": 2.0,
}


def count_up(length: int, vocabulary: int = 10, sure: float = 0.8, seed: int = 0) -> list[int]:
    """Each word is mostly followed by the next number."""
    rng = np.random.default_rng(seed)
    words = [0]
    while len(words) < length:
        follows = rng.random() < sure
        words.append((words[-1] + 1) % vocabulary if follows else int(rng.integers(vocabulary)))
    return words


TEXT = text_set(count_up(200), count_up(60, seed=1), 10)


def network_file(vocabulary: int = 10, hidden_size: int = 8, **macro: Any) -> NetworkFile:
    """A network around a small cell."""
    return NetworkFile.of(
        "rnn",
        CELL,
        RnnMacro(hidden_size=hidden_size, **macro),
        text_set([0, 1], [0, 1], vocabulary).shape,
        recipe="ptb",
    )


def setup(
    network: NetworkFile | None = None,
    data: TextSet = TEXT,
    world: World | None = None,
    seed: int = 0,
    **changes: Any,
) -> Setup:
    """Everything that a small training is made from."""
    return Setup(
        network=network or network_file(),
        recipe=TextRecipe(**(SMALL | changes)),
        data=data,
        compute=Compute.available(threads=1, gpu=False, deterministic=True),
        world=world or World(),
        seed=seed,
    )


def training(*args: Any, **changes: Any) -> TextTraining:
    return TextTraining(setup(*args, **changes))


def through_files(state: State) -> State:
    """The state as it is read back from a checkpoint's files."""
    return State(load(save(dict(state.tensors))), json.loads(json.dumps(dict(state.values))))


def identical(weights: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return weights.keys() == others.keys() and all(
        torch.equal(weights[name], others[name]) for name in weights
    )
