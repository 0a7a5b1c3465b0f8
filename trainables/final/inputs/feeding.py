"""Passes over a split: batches on the device, and an account of the images that were damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainables.data.assemble import BadImages
from trainables.final.contracts import Setup, World
from trainables.final.inputs.loading import Loader
from trainables.final.inputs.orders import Order
from trainables.final.inputs.sources import ImageData
from trainables.final.inputs.transforms import Centre, Transform, normalised

_NAMED = 10
"""Damaged images of a pass that are named."""


class Prepared(NamedTuple):
    """A batch as the network takes it, on its device.

    Attributes:
        images: float32 of shape (B, C, H, W), channels last in memory.
        labels: int64 of shape (B,).
        weights: float32 of shape (B,): 0 for images that could not be decoded, else 1.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor


class Feed:
    """Prepares images as a recipe and the inputs of a network say.

    Args:
        setup: Data, device, and processes that prepare images.
        inputs: See `FullTask.inputs`.
        augmentation: Transform of training images; None where nothing is trained.
    """

    def __init__(
        self, setup: Setup, inputs: Mapping[str, Any], augmentation: Transform | None = None
    ) -> None:
        height, width = inputs["image_size"]
        plain = Centre((height, width), inputs["crop"])
        device = setup.compute.device
        self.device, self.mean, self.std = device, inputs["mean"], inputs["std"]
        self._data: ImageData = setup.data
        self._max_bad_fraction: float = setup.recipe.max_bad_fraction
        self._note = setup.note
        self._named: set[str] = set()
        self._loader = Loader(
            self._data,
            augmentation or plain,
            plain,
            workers=setup.loader_workers,
            pinned=device.type == "cuda",
        )

    def over(self, split: str, orders: Iterable[Order]) -> Pass:
        """One pass over a split; only one at a time."""
        source = self._data.source(split)
        bad = BadImages(source.place, len(source), self._max_bad_fraction)
        return Pass(self, bad, orders)

    def name(self, errors: Iterable[str]) -> None:
        """Tells of damaged images, of each once."""
        new = [error for error in dict.fromkeys(errors) if error not in self._named]
        self._named.update(new)
        if new:
            more = f"; and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
            self._note(f"images that are passed over: {'; '.join(new[:_NAMED])}{more}")

    def batches(self, orders: Iterable[Order], bad: BadImages) -> Iterator[Prepared]:
        """The batches of `orders`; damaged images are entered into `bad`."""
        for batch in self._loader.batches(orders):
            for error in batch.errors:
                bad.add(error)
            images, labels, weights = (
                part.to(self.device, non_blocking=True) for part in batch[:3]
            )
            yield Prepared(normalised(images, self.mean, self.std), labels, weights)


class Pass:
    """The batches of one pass.

    Args:
        feed: Prepares them.
        bad: Account of the damaged images.
        orders: What they are made of.
    """

    def __init__(self, feed: Feed, bad: BadImages, orders: Iterable[Order]) -> None:
        self._feed = feed
        self._bad = bad
        self._orders = orders

    def __iter__(self) -> Iterator[Prepared]:
        """Batches.

        Raises:
            DataError: As soon as this process has met more damaged images than are allowed.
        """
        return self._feed.batches(self._orders, self._bad)

    def bad_images(self, world: World) -> int:
        """How many damaged images all processes have met; each has to ask.

        Raises:
            DataError: If they are more than are allowed.
        """
        self._feed.name(self._bad.errors)
        mine = torch.tensor(len(self._bad.errors), device=self._feed.device)
        count = int(world.sum(mine).item())
        self._bad.check(count)
        return count
