"""Which images a step takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import torch

from autoshrink_ray.seeds import derive_seed
from trainables.final.contracts import World
from trainables.final.image_recipe import ImageRecipe
from trainables.final.inputs.sources import Item, ListedSource, Source
from trainables.final.inputs.streaming import shard_items


class Order(NamedTuple):
    """Images that make a batch.

    Attributes:
        split: `train` or `valid`.
        items: The images.
    """

    split: str
    items: list[Item]


def batched(split: str, items: Iterable[Item], size: int) -> Iterator[Order]:
    """Orders of `size` images each; the last one takes what is left."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield Order(split, batch)


def training_orders(
    source: Source, recipe: ImageRecipe, seed: int, epoch: int, attempt: int, world: World
) -> Iterator[Order]:
    """This process's share of the batches of one epoch; each process has equally many.

    Images that are left over once no full batch can be made are not shown; these are others in
    each epoch. Together, the processes' shares of a step are the batch that a single process
    would take (of a stream they are not; see `trainables.final.inputs.streaming`).
    """
    size = recipe.local_batch(world.size)
    if isinstance(source, ListedSource):
        order = torch.Generator().manual_seed(derive_seed(seed, "order", epoch, attempt))
        positions = torch.randperm(len(source), generator=order).tolist()
        full = range(0, len(source) - recipe.batch_size + 1, recipe.batch_size)
        mine = (start + world.rank * size for start in full)
        items: Iterator[Item] = (
            source.item(place) for start in mine for place in positions[start : start + size]
        )
    else:
        items = shard_items(
            batch_size=size,
            window=recipe.shuffle_window,
            seed=derive_seed(seed, "window", epoch, attempt, world.rank),
        )
    seeded = (
        item._replace(seed=derive_seed(seed, "augment", epoch, attempt, item.position))
        for item in items
    )
    return batched("train", seeded, size)
