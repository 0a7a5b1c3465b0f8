"""Image operations as torch modules: (B, C, H, W) in, (B, C', H', W') out.

Every convolution is without bias and followed by batch normalisation. Weights are drawn from
torch's global generator when a module is built, so the caller's seed fixes them.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.plan import Activation, Norm

_TRUNCATION = 0.87962566103423978
"""Standard deviation of the standard normal distribution cut off at plus and minus 2."""


def glorot_normal_(weight: Tensor) -> None:
    """Fills `weight` as TensorFlow's `glorot_normal` does, in place.

    Variance 2 / (fan-in + fan-out), from a normal distribution cut off at two of its standard
    deviations. The sum of fans also holds for depthwise kernels: torch's (C, 1, k, k) counts
    them the other way round than TensorFlow's (k, k, C, 1).

    Args:
        weight: (out, in) or (out, in, height, width).
    """
    fan_sum = (weight.shape[0] + weight.shape[1]) * math.prod(weight.shape[2:])
    std = math.sqrt(2 / fan_sum) / _TRUNCATION
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def fan_out_normal_(network: nn.Module) -> None:
    """Draws all kernels of `network` anew as the paper's full training starts them, in place.

    Convolutions: variance 2 / fan-out from a cut-off normal distribution, where the fan-out is
    height * width * outputs of one group. Classifiers: standard deviation 0.01, not cut off.
    """
    for module in network.modules():
        if isinstance(module, Conv):
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            std = math.sqrt(2 / fan_out) / _TRUNCATION
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        elif isinstance(module, Classifier):
            nn.init.normal_(module.weight, std=0.01)


def pad_same(x: Tensor, size: int, stride: int) -> Tensor:
    """Pads with zeros so that an unpadded convolution gives ceil(H / stride), ceil(W / stride).

    Where the padding is odd, bottom and right get one more (TensorFlow's SAME).
    """
    height, width = (max(0, size - (n % stride or stride)) for n in x.shape[-2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def max_pool_same(x: Tensor, pool: int) -> Tensor:
    """Max-pool with stride = `pool` and SAME padding: height and width ceil(n / pool)."""
    if pool == 1:
        return x
    height, width = x.shape[-2:]
    before = (-height % pool // 2, -width % pool // 2)
    return F.max_pool2d(x, pool, padding=before, ceil_mode=True)


def activation_module(activation: Activation) -> nn.Module:
    """The non-linearity called `activation`. ReLU works in place: it follows a normalisation."""
    return nn.ReLU(inplace=True) if activation == "relu" else nn.SiLU()


def batch_norm(channels: int, norm: Norm) -> nn.BatchNorm2d:
    """Batch normalisation over `channels`, with scale and shift."""
    return nn.BatchNorm2d(channels, eps=norm.eps, momentum=norm.momentum)


class Conv(nn.Conv2d):
    """Convolution without bias, Glorot-normal.

    Attributes:
        role: What weight decay treats the kernel as.
    """

    role = "kernel"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
    ) -> None:
        super().__init__(
            in_channels, out_channels, size, stride, padding, groups=groups, bias=False
        )

    def reset_parameters(self) -> None:
        glorot_normal_(self.weight)


class DepthwiseConv(Conv):
    """3x3 convolution of each channel by itself, SAME padding."""

    role = "depthwise"

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels)


class ProjectionConv(Conv):
    """1x1 convolution of a shortcut; with a stride it looks at every stride-th pixel.

    The pixels are picked before the convolution, since oneDNN 3.12 (torch 2.14) writes beyond its
    memory in the backward pass of a strided 1x1 convolution with fewer than eight input channels
    on CPUs with AVX2 and no AVX-512.
    """

    role = "projection"

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        down, right = self.stride
        return F.conv2d(x[:, :, ::down, ::right], self.weight)


class Classifier(nn.Linear):
    """Linear layer with bias, (B, features) to (B, classes): weight Glorot-normal, bias 0."""

    role = "kernel"

    def reset_parameters(self) -> None:
        glorot_normal_(self.weight)
        nn.init.zeros_(self.bias)


class ConvNormAct(nn.Module):
    """k x k convolution with SAME padding, batch normalisation, activation unless `linear`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        activation: Activation,
        norm: Norm,
        *,
        size: int = 1,
        stride: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels, size, stride=stride)
        self.norm = batch_norm(out_channels, norm)
        self.activation = nn.Identity() if linear else activation_module(activation)
        self.size, self.stride = size, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        if self.size > 1:
            x = pad_same(x, self.size, self.stride)
        out: Tensor = self.activation(self.norm(self.conv(x)))
        return out


class SeparableConv(nn.Module):
    """Depthwise 3x3, batch norm, activation, pointwise, batch norm, activation.

    With `linear` the last activation is left out, and the one after the depthwise part is ReLU
    whatever `activation` says: so is the published Swish network.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        activation: Activation,
        norm: Norm,
        *,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(in_channels)
        self.depthwise_norm = batch_norm(in_channels, norm)
        self.depthwise_activation = activation_module("relu" if linear else activation)
        self.pointwise = ConvNormAct(in_channels, out_channels, activation, norm, linear=linear)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        x = self.depthwise_activation(self.depthwise_norm(self.depthwise(x)))
        out: Tensor = self.pointwise(x)
        return out


class Projection(nn.Module):
    """Shortcut between different shapes: 1x1 convolution with stride, batch norm, no activation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv = ProjectionConv(in_channels, out_channels, 1, stride=stride)
        self.norm = batch_norm(out_channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.norm(self.conv(x))
        return out


def concatenate(states: list[Tensor]) -> Tensor:
    """Joins (B, C, H, W) tensors along the channels; one alone is passed on without a copy."""
    return states[0] if len(states) == 1 else torch.cat(states, dim=1)
