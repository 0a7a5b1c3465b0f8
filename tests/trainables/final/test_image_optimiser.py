from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from autoshrink_ray.errors import FileFormatError
from search_spaces.build import build
from tests.trainables.final.image_support import network_file
from trainables.final.averages import WeightAverage
from trainables.final.image_recipe import ImageRecipe
from trainables.final.optimisers import optimiser, optimiser_tensors, restore_optimiser

Loss = Callable[[Any], Tensor]


def network() -> Any:
    torch.manual_seed(0)
    return build(network_file())


def loss_of(module: Any, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(6, 1, 6, 6, generator=generator)
    return F.cross_entropy(module(images), torch.arange(6) % 3)


def step(module: Any, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()


@pytest.mark.parametrize("kind", ["sgd", "rmsprop_tf"])
def test_weight_decay_is_the_gradient_of_the_l2_term(kind: str) -> None:
    decayed, plain = network(), network()
    recipe = ImageRecipe(optimiser=kind, l2=0.05)
    ours, theirs = (
        optimiser(decayed, recipe),
        optimiser(plain, recipe.model_copy(update={"l2": 0.0})),
    )
    roles = plain.parameters_by_role()
    assert all(roles.values())  # the cell has a parameter of each role
    for seed in range(4):
        step(decayed, ours, loss_of(decayed, seed))
        squares = sum((w**2).sum() for role in ("kernel", "projection") for w in roles[role])
        step(plain, theirs, loss_of(plain, seed) + 0.05 * squares)
    for mine, other in zip(decayed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_depthwise_kernels_biases_and_normalisation_have_no_decay() -> None:
    module = network()
    roles = module.parameters_by_role()
    decay = {
        id(parameter): group["weight_decay"]
        for group in optimiser(module, ImageRecipe()).param_groups
        for parameter in group["params"]
    }
    assert len(decay) == len(list(module.parameters()))
    for role, expected in (("kernel", 8e-5), ("projection", 8e-5), ("depthwise", 0), ("other", 0)):
        assert {decay[id(parameter)] for parameter in roles[role]} == {expected}


def test_rmsprop_is_tensorflows() -> None:
    """Accumulator from 1, epsilon 1 inside the root, learning rate inside the momentum."""
    module = network()
    expected = [parameter.detach().clone() for parameter in module.parameters()]
    squares = [torch.ones_like(weight) for weight in expected]
    momenta = [torch.zeros_like(weight) for weight in expected]
    optimizer = optimiser(module, ImageRecipe(l2=0.0))
    for seed, rate in enumerate((0.1, 0.5, 0.2)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        step(module, optimizer, loss_of(module, seed))
        for index, parameter in enumerate(module.parameters()):
            gradient = parameter.grad
            squares[index] = 0.9 * squares[index] + 0.1 * gradient**2
            update = rate * gradient / torch.sqrt(squares[index] + 1.0)
            momenta[index] = 0.9 * momenta[index] + update
            expected[index] -= momenta[index]
            torch.testing.assert_close(parameter.detach(), expected[index], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "rmsprop_tf"])
def test_a_restored_optimiser_goes_on_as_the_first(kind: str) -> None:
    recipe = ImageRecipe(optimiser=kind)
    first = network().to(memory_format=torch.channels_last)
    optimizer = optimiser(first, recipe)
    step(first, optimizer, loss_of(first, 0))
    second = copy.deepcopy(first)
    restored = optimiser(second, recipe)
    tensors = optimiser_tensors(optimizer)
    restore_optimiser(restored, {name: value.contiguous() for name, value in tensors.items()})
    for module, each in ((first, optimizer), (second, restored)):
        step(module, each, loss_of(module, 1))
    for mine, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(mine, other)
    restore_optimiser(restored, {})  # as before the first step
    assert optimiser_tensors(restored) == {}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"99.momentum_buffer": torch.zeros(())}, "has no 99.momentum_buffer"),
        ({"momentum": torch.zeros(())}, "has no momentum"),
        ({"0.momentum_buffer": torch.zeros(1, 2)}, r"0.momentum_buffer has shape .*, got \(1, 2\)"),
    ],
)
def test_foreign_state_is_refused(tensors: dict[str, Tensor], message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        restore_optimiser(optimiser(network(), ImageRecipe()), tensors)


def test_state_of_part_of_the_parameters_is_refused() -> None:
    module = network()
    optimizer = optimiser(module, ImageRecipe())
    step(module, optimizer, loss_of(module, 0))
    tensors = {k: v for k, v in optimiser_tensors(optimizer).items() if not k.startswith("0.")}
    with pytest.raises(FileFormatError, match=r"state for all its \d+ parameters, got \d+"):
        restore_optimiser(optimizer, tensors)


@pytest.mark.parametrize("decay", [0.2, 0.999])
def test_the_average_starts_at_the_first_weights_and_follows_the_rule(decay: float) -> None:
    module = network()
    average = WeightAverage(module, decay)
    expected = {name: p.detach().clone() for name, p in module.named_parameters()}
    for n in range(1, 6):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += torch.randn_like(parameter)
        average.update(module)
        kept = min(decay, (1 + n) / (10 + n))
        for name, parameter in module.named_parameters():
            expected[name] = kept * expected[name] + (1 - kept) * parameter.detach()
    for name, parameter in average.module.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-5, atol=1e-6)
    assert average.updates == 5


def test_buffers_are_the_networks() -> None:
    module = network()
    average = WeightAverage(module, 0.9)
    loss_of(module, 0)  # moves the statistics of batch normalisation
    average.take_buffers(module)
    for mine, other in zip(average.module.buffers(), module.buffers(), strict=True):
        assert torch.equal(mine, other)
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
