"""Batches of images, prepared here or in processes of their own, with the same result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from autoshrink_ray.contracts import ImageShape
from autoshrink_ray.errors import DataError
from trainables.final.inputs.orders import Order
from trainables.final.inputs.sources import ImageData, Item, Reader
from trainables.final.inputs.transforms import Transform


class Batch(NamedTuple):
    """Prepared images; one that is damaged keeps its place, with weight 0.

    Attributes:
        images: uint8 of shape (B, C, H, W). In the place of a damaged image stands the batch's
            first good one, so that batch normalisation sees images only.
        labels: int64 of shape (B,).
        weights: float32 of shape (B,): 0 for damaged images, else 1.
        errors: What is wrong with each damaged image.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor
    errors: list[str]


class Loader:
    """Fulfils orders of images of both splits.

    Args:
        data: The images.
        augmentation: Transform of items with a seed, (C, H, W) to the network's input.
        plain: Transform of items without.
        workers: Processes that prepare batches; with 0 they are prepared in this one.
        pinned: Whether batches come in memory from which a GPU copies in the background.
    """

    def __init__(
        self,
        data: ImageData,
        augmentation: Transform,
        plain: Transform,
        *,
        workers: int,
        pinned: bool,
    ) -> None:
        readers = {
            split: data.source(split).reader(data.shape.channels, shared=workers > 0)
            for split in ("train", "valid")
        }
        self._orders = _Orders()
        self._loader: DataLoader[Batch] = DataLoader(
            _Preparation(readers, augmentation, plain, data.shape),
            batch_size=None,
            sampler=self._orders,
            num_workers=workers,
            collate_fn=_as_it_is,  # type: ignore[arg-type]
            pin_memory=pinned,
            # A fork would inherit the threads of Ray, Arrow and CUDA in the midst of something.
            multiprocessing_context="spawn" if workers else None,
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # else it draws from the global one
        )

    def batches(self, orders: Iterable[Order]) -> Iterator[Batch]:
        """The batches of `orders`, in their order; one such iteration at a time."""
        self._orders.now = iter(orders)
        return iter(self._loader)


class _Orders:
    """Hands a data loader the orders of the moment."""

    now: Iterator[Order]

    def __iter__(self) -> Iterator[Order]:
        return self.now


class _Preparation(Dataset[Batch]):
    """From an order to its batch."""

    def __init__(
        self,
        readers: Mapping[str, Reader],
        augmentation: Transform,
        plain: Transform,
        shape: ImageShape,
    ) -> None:
        self._readers = readers
        self._augmentation = augmentation
        self._plain = plain
        self._shape = (shape.channels, shape.height, shape.width)

    def __getitem__(self, order: Order) -> Batch:
        reader = self._readers[order.split]
        images: list[Tensor | None] = []
        errors = []
        with _alone():
            for item in order.items:
                try:
                    images.append(self._image(reader, item))
                except DataError as error:
                    images.append(None)
                    errors.append(str(error))
        return Batch(
            self._stacked(images),
            torch.tensor([item.label for item in order.items]),
            torch.tensor([float(image is not None) for image in images]),
            errors,
        )

    def _image(self, reader: Reader, item: Item) -> Tensor:
        image = reader(item)
        if item.seed is None:
            return self._plain(image)
        torch.default_generator.manual_seed(item.seed)
        return self._augmentation(image)

    def _stacked(self, images: list[Tensor | None]) -> Tensor:
        blank = torch.zeros(self._shape, dtype=torch.uint8)
        filler = next((image for image in images if image is not None), blank)
        stacked = torch.stack([filler if image is None else image for image in images])
        return stacked.contiguous(memory_format=torch.channels_last)


@contextmanager
def _alone() -> Iterator[None]:
    """One thread, whose sums have one order everywhere, and the random state left as it was."""
    threads = torch.get_num_threads()
    if threads > 1:
        torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        if threads > 1:
            torch.set_num_threads(threads)


def _as_it_is(batch: Batch) -> Batch:
    return batch
