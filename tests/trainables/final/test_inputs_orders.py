from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainables.final.image_support import SMALL, counted
from trainables.final.contracts import World
from trainables.final.image_recipe import ImageRecipe
from trainables.final.inputs.orders import Order, batched, training_orders
from trainables.final.inputs.sources import Item, MemorySource


def source(count: int) -> MemorySource:
    images = counted(count)
    return MemorySource("train", images.train_labels, images.train_images)


def orders(
    count: int,
    batch: int,
    epoch: int = 1,
    attempt: int = 0,
    world: World | None = None,
    seed: int = 0,
) -> list[Order]:
    recipe = ImageRecipe(**(SMALL | {"batch_size": batch}))
    return list(training_orders(source(count), recipe, seed, epoch, attempt, world or World()))


def positions(found: list[Order]) -> list[int]:
    return [item.position for order in found for item in order.items]


@given(st.integers(2, 60), st.integers(1, 12))
def test_each_image_comes_at_most_once_and_only_full_batches_do(count: int, batch: int) -> None:
    found = orders(count, batch)
    assert [len(order.items) for order in found] == [batch] * (count // batch)
    assert len(set(positions(found))) == len(positions(found))
    assert all(item.label == item.position % 2 for order in found for item in order.items)


@given(st.integers(2, 60), st.integers(1, 4), st.sampled_from([2, 3, 4]))
def test_processes_share_the_batches_of_a_single_one(count: int, share: int, size: int) -> None:
    together = [orders(count, share * size, world=World(rank, size)) for rank in range(size)]
    assert len({len(each) for each in together}) == 1
    merged = [
        [item for order in step for item in order.items] for step in zip(*together, strict=True)
    ]
    assert merged == [order.items for order in orders(count, share * size)]


def test_epoch_attempt_and_seed_decide_the_order() -> None:
    same = orders(40, 8)
    assert orders(40, 8) == same
    others = [orders(40, 8, epoch=2), orders(40, 8, attempt=1), orders(40, 8, seed=1)]
    assert all(positions(other) != positions(same) for other in others)
    assert len({order.items[0].seed for order in [same[0], *(other[0] for other in others)]}) == 4


def test_what_is_left_out_changes() -> None:
    left = [set(range(11)) - set(positions(orders(11, 8, epoch=epoch))) for epoch in range(1, 9)]
    assert set().union(*left) == set(range(11))


def test_augmentation_belongs_to_the_image_not_to_its_place() -> None:
    seeds = [
        {item.position: item.seed for order in orders(40, batch) for item in order.items}
        for batch in (4, 8)
    ]
    assert seeds[0] == seeds[1]
    assert len(set(seeds[0].values())) == 40


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_processes_validate_each_image_once(size: int) -> None:
    shares = [list(source(11).in_order(rank, size)) for rank in range(size)]
    assert sorted(item.position for share in shares for item in share) == list(range(11))
    assert all(item.seed is None for share in shares for item in share)


@given(st.integers(0, 30), st.integers(1, 9))
def test_batches_are_cut_in_order(count: int, size: int) -> None:
    items = [Item(position, 0) for position in range(count)]
    found = list(batched("valid", iter(items), size))
    assert [item for order in found for item in order.items] == items
    assert all(len(order.items) == size for order in found[:-1])
    assert len(found) == int(np.ceil(count / size))
