"""Optimisers of the full training of image networks, and their state as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from timm.optim.rmsprop_tf import RMSpropTF
from torch import Tensor

from autoshrink_ray.errors import FileFormatError
from trainables.final.image_recipe import ImageRecipe
from trainables.image import ImageNetwork

_MOMENTUM = 0.9
_RMSPROP_DECAY, _RMSPROP_EPSILON = 0.9, 1.0


def optimiser(network: ImageNetwork, recipe: ImageRecipe) -> torch.optim.Optimizer:
    """The recipe's optimiser, with the L2 term as its weight decay.

    The gradient of l2 * sum(w^2) is 2 * l2 * w, hence the factor 2. Depthwise kernels, biases and
    batch normalisation have none.
    """
    roles = network.parameters_by_role()
    groups = [
        {"params": roles["kernel"] + roles["projection"], "weight_decay": 2 * recipe.l2},
        {"params": roles["depthwise"] + roles["other"], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            groups, lr=recipe.learning_rate, momentum=_MOMENTUM, nesterov=True, fused=True
        )
    return RMSpropTF(
        groups,
        lr=recipe.learning_rate,
        alpha=_RMSPROP_DECAY,
        momentum=_MOMENTUM,
        eps=_RMSPROP_EPSILON,
    )


def optimiser_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Its state: tensor NAME of parameter number INDEX under `INDEX.NAME`."""
    return {
        f"{index}.{name}": value
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts the state of `optimiser_tensors` back, for an optimiser of the same parameters.

    Raises:
        FileFormatError: If a tensor is for a parameter that there is not or of another shape, or
            some parameters have none.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        if not (index.isdecimal() and int(index) < len(parameters) and name):
            raise FileFormatError(f"the optimiser has no {key}: its state is another network's")
        parameter = parameters[int(index)]
        if tensor.dim() and tensor.shape != parameter.shape:
            raise FileFormatError(
                f"the optimiser's {key} has shape {tuple(parameter.shape)}, "
                f"got {tuple(tensor.shape)}"
            )
        # In the parameter's memory format: another one can change the last bits of a step.
        kept = torch.empty_like(parameter) if tensor.dim() else torch.empty_like(tensor)
        state.setdefault(int(index), {})[name] = kept.copy_(tensor)
    if len(state) not in (0, len(parameters)):
        raise FileFormatError(
            f"an optimiser has state for all its {len(parameters)} parameters, got {len(state)}"
        )
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
