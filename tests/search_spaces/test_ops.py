import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from search_spaces.ops import (
    Classifier,
    Conv,
    ConvNormAct,
    DepthwiseConv,
    Projection,
    ProjectionConv,
    SeparableConv,
    max_pool_same,
    pad_same,
)
from search_spaces.plan import Norm

NORM = Norm(eps=1e-5, momentum=0.1)


def pooled_slowly(x, pool):
    """TensorFlow's SAME max-pool, window by window; padding is outside of every maximum."""
    out = [-(-n // pool) for n in x.shape[2:]]
    start = [(out[d] * pool - x.shape[2 + d]) // 2 for d in (0, 1)]
    result = torch.empty(*x.shape[:2], *out)
    for row in range(out[0]):
        for column in range(out[1]):
            top, left = row * pool - start[0], column * pool - start[1]
            window = x[:, :, max(top, 0) : top + pool, max(left, 0) : left + pool]
            result[:, :, row, column] = window.amax(dim=(2, 3))
    return result


@settings(deadline=None, max_examples=60)
@given(height=st.integers(1, 11), width=st.integers(1, 11), pool=st.integers(1, 5))
def test_max_pool_is_same_padded(height, width, pool):
    x = torch.randn(2, 3, height, width) - 5  # negative: zeros as padding would win
    assert torch.equal(max_pool_same(x, pool), pooled_slowly(x, pool))


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 11),
    width=st.integers(1, 11),
    size=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
)
def test_padded_convolution_keeps_the_size_but_for_the_stride(height, width, size, stride):
    padded = pad_same(torch.ones(1, 1, height, width), size, stride)
    out = F.conv2d(padded, torch.ones(1, 1, size, size), stride=stride)
    assert out.shape[2:] == (-(-height // stride), -(-width // stride))


def test_stride_two_pads_an_even_image_at_the_bottom_and_right_only():
    padded = pad_same(torch.ones(1, 1, 4, 4), size=3, stride=2)
    assert padded.shape == (1, 1, 5, 5)
    assert padded[0, 0, :4, :4].all()
    assert not padded[0, 0, 4].any()
    assert not padded[0, 0, :, 4].any()


@pytest.mark.parametrize(
    ("make", "fan_sum"),
    [
        (lambda: Conv(100, 60, 3), 9 * 160),
        (lambda: DepthwiseConv(4000), 9 * 4001),
        (lambda: Classifier(300, 200), 500),
    ],
)
def test_weights_are_truncated_glorot_normal(make, fan_sum):
    torch.manual_seed(0)
    weight = make().weight.detach()
    wanted = math.sqrt(2 / fan_sum)
    assert weight.std().item() == pytest.approx(wanted, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=0.02 * wanted)
    cut = 2 * wanted / 0.87962566
    assert 0.97 * cut < weight.abs().max().item() <= cut * 1.0001


def test_torch_seed_fixes_the_weights():
    def weight(seed):
        torch.manual_seed(seed)
        return SeparableConv(4, 8, "relu", NORM).pointwise.conv.weight

    assert torch.equal(weight(3), weight(3))
    assert not torch.equal(weight(3), weight(4))


def test_classifier_bias_starts_at_zero_and_convolutions_have_none():
    assert not Classifier(5, 3).bias.any()
    block = nn.Sequential(SeparableConv(4, 8, "relu", NORM), Projection(8, 4, 2, NORM))
    assert all(m.bias is None for m in block.modules() if isinstance(m, nn.Conv2d))


def normalised(x):
    return (x - x.mean((0, 2, 3), keepdim=True)) / torch.sqrt(
        x.var((0, 2, 3), keepdim=True, unbiased=False) + NORM.eps
    )


FUNCTIONS = {"relu": torch.relu, "swish": lambda x: x * torch.sigmoid(x)}


@pytest.mark.parametrize("activation", ["relu", "swish"])
@pytest.mark.parametrize("linear", [False, True])
def test_separable_conv_is_its_formula(activation, linear):
    op = SeparableConv(4, 6, activation, NORM, linear=linear)
    x = torch.randn(2, 4, 5, 7)
    inner = torch.relu if linear else FUNCTIONS[activation]
    hidden = inner(normalised(F.conv2d(x, op.depthwise.weight, padding=1, groups=4)))
    expected = normalised(F.conv2d(hidden, op.pointwise.conv.weight))
    if not linear:
        expected = FUNCTIONS[activation](expected)
    torch.testing.assert_close(op(x), expected)


@pytest.mark.parametrize("activation", ["relu", "swish"])
@pytest.mark.parametrize("linear", [False, True])
def test_1x1_conv_is_its_formula(activation, linear):
    op = ConvNormAct(4, 6, activation, NORM, linear=linear)
    x = torch.randn(2, 4, 5, 7)
    expected = normalised(F.conv2d(x, op.conv.weight))
    if not linear:
        expected = FUNCTIONS[activation](expected)
    torch.testing.assert_close(op(x), expected)


def test_projection_is_its_formula():
    op = Projection(4, 6, 2, NORM)
    x = torch.randn(2, 4, 5, 7)
    torch.testing.assert_close(op(x), normalised(F.conv2d(x[:, :, ::2, ::2], op.conv.weight)))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 7))
@settings(max_examples=30)
def test_a_projections_convolution_is_torchs_strided_one(channels, out_channels, stride, size):
    op = ProjectionConv(channels, out_channels, 1, stride=stride).double()
    x = torch.randn(2, channels, size, size + 1, dtype=torch.double, requires_grad=True)
    found, expected = op(x), F.conv2d(x, op.weight, stride=stride)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad(found, (x, op.weight), gradient),
        torch.autograd.grad(expected, (x, op.weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


NARROW = """
import torch
from search_spaces.ops import ProjectionConv
for _ in range(50):
    op = ProjectionConv(4, 8, 1, stride=2).to(memory_format=torch.channels_last)
    x = torch.randn(16, 4, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    op(x).sum().backward()
    [torch.empty(7 * size + 1) for size in range(50)]
print("intact")
"""


def test_a_narrow_projection_leaves_memory_intact():
    """In a process of its own, which torch's strided convolution ends on CPUs with AVX2 alone."""
    done = subprocess.run([sys.executable, "-c", NARROW], capture_output=True, text=True)
    assert done.stdout == "intact\n", done.stderr
