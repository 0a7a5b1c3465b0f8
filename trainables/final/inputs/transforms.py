"""From a decoded image to what the network sees.

Images are uint8 of shape (C, H, W). Random choices come from torch's global generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from trainables.final.image_recipe import ImageRecipe

Transform = Callable[[Tensor], Tensor]

_WHITE = 255
"""Largest value of a pixel."""

_INTERPOLATIONS = (
    InterpolationMode.NEAREST_EXACT,
    InterpolationMode.BILINEAR,
    InterpolationMode.BICUBIC,
)
"""One of these resizes a random crop, each as likely as the others."""


class Centre:
    """Keeps the central part of height and width and resizes it, bicubic.

    Args:
        size: Height and width wanted.
        crop: Part of height and width that is kept.
    """

    def __init__(self, size: tuple[int, int], crop: float) -> None:
        self._size = list(size)
        self._crop = crop

    def __call__(self, image: Tensor) -> Tensor:
        """(C, H, W) to (C, *size); an image that is right already is passed on."""
        kept = [max(1, round(length * self._crop)) for length in image.shape[-2:]]
        if kept != list(image.shape[-2:]):
            image = v2.functional.center_crop(image, kept)
        if kept != self._size:
            image = v2.functional.resize(
                image, self._size, InterpolationMode.BICUBIC, antialias=True
            )
        return image


class Erasing:
    """Fills a random rectangle with random pixels, its height and width drawn independently.

    `v2.RandomErasing` draws an area and an aspect instead.

    Args:
        probability: Of doing so at all.
        side: Least and largest height and width, as parts of the image's.
    """

    def __init__(self, probability: float, side: tuple[float, float]) -> None:
        self._probability = probability
        self._side = side

    def __call__(self, image: Tensor) -> Tensor:
        """(C, H, W) to the same shape."""
        if torch.rand(()).item() >= self._probability:
            return image
        (height, top), (width, left) = (self._span(length) for length in image.shape[-2:])
        noise = torch.randint(0, _WHITE + 1, (image.shape[0], height, width), dtype=image.dtype)
        erased: Tensor = v2.functional.erase(image, top, left, height, width, noise)
        return erased

    def _span(self, length: int) -> tuple[int, int]:
        part = torch.empty(()).uniform_(*self._side).item()
        span = max(1, round(length * part))
        return span, int(torch.randint(0, length - span + 1, ()).item())


def training_transform(recipe: ImageRecipe, size: tuple[int, int]) -> Transform:
    """The recipe's augmentation, for a network input of `size` (height, width)."""
    steps: list[Transform] = []
    if recipe.crop_area is not None:
        crops = [
            v2.RandomResizedCrop(size, recipe.crop_area, recipe.crop_aspect, mode)
            for mode in _INTERPOLATIONS
        ]
        steps.append(v2.RandomChoice(crops))
    else:
        steps.append(Centre(size, recipe.crop))
    if recipe.crop_padding:
        steps.append(v2.RandomCrop(size, padding=recipe.crop_padding))
    if recipe.flip:
        steps.append(v2.RandomHorizontalFlip())
    if max(size) > recipe.jitter_above:
        factor = recipe.colour_jitter  # the four come in random order
        steps.append(v2.ColorJitter(factor, factor, factor, recipe.hue_jitter))
    if recipe.erasing:
        steps.append(Erasing(recipe.erasing, recipe.erasing_side))
    return _Steps(steps)


class _Steps:
    """One transform after the other; v2.Compose takes modules only."""

    def __init__(self, steps: Sequence[Transform]) -> None:
        self._steps = steps

    def __call__(self, image: Tensor) -> Tensor:
        for step in self._steps:
            image = step(image)
        return image


def normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(pixel / 255 - mean) / std of a batch, channels last in memory.

    Args:
        images: uint8 of shape (B, C, H, W).
        mean: Mean of each channel, pixels in [0, 1].
        std: Standard deviation of each channel.

    Returns:
        float32 of the same shape, on the same device.
    """
    # As one multiplication and one addition.
    factor = torch.tensor([1 / (_WHITE * s) for s in std]).view(1, -1, 1, 1)
    offset = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(1, -1, 1, 1)
    numbers = images.to(torch.float32, memory_format=torch.channels_last)
    device = images.device
    return numbers.mul_(factor.to(device, non_blocking=True)).add_(
        offset.to(device, non_blocking=True)
    )
