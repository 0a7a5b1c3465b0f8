from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables import decoder
from trainables.decoder import decoder_loss


def plain_loss(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="sum")


def example(rows: int, vocabulary: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((rows, size), (vocabulary, size), (vocabulary,))
    )
    return hidden, weight, bias, torch.randint(vocabulary, (rows,), generator=generator)


@pytest.mark.parametrize("chunk", [1, 33, 10**6])  # a row, three rows, everything at once
def test_loss_and_gradients_are_the_plain_ones(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(decoder, "_CHUNK", chunk)
    hidden, weight, bias, targets = example(rows=10, vocabulary=11, size=4)
    loss = decoder_loss(hidden, weight, bias, targets)
    plain = plain_loss(hidden, weight, bias, targets)
    torch.testing.assert_close(loss, plain)
    inputs = (hidden, weight, bias)
    for ours, theirs in zip(
        torch.autograd.grad(loss / 7, inputs), torch.autograd.grad(plain / 7, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("chunk", [33, 10**6])
def test_loss_without_gradient_is_the_plain_one(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(decoder, "_CHUNK", chunk)
    values = example(rows=10, vocabulary=11, size=4)
    with torch.no_grad():
        torch.testing.assert_close(decoder_loss(*values), plain_loss(*values))


def test_large_logits_do_not_overflow() -> None:
    hidden, weight, bias, targets = example(rows=3, vocabulary=5, size=2)
    loss = decoder_loss(hidden * 1e4, weight, bias, targets)
    torch.testing.assert_close(loss, plain_loss(hidden * 1e4, weight, bias, targets))
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, (hidden, weight, bias)))


def test_infinite_hidden_state_gives_a_loss_that_is_no_number() -> None:
    hidden, weight, bias, targets = example(rows=3, vocabulary=5, size=2)
    assert decoder_loss(hidden * torch.inf, weight, bias, targets).isnan()
