from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainables.data.subset import choose_per_class

labelled = st.lists(st.integers(0, 5), min_size=1, max_size=60)
seeds = st.integers(0, 2**63 - 1)


@given(labelled, st.integers(1, 20), seeds)
def test_takes_so_many_of_each_class_without_replacement(
    labels: list[int], per_class: int, seed: int
) -> None:
    chosen = choose_per_class(np.array(labels), per_class, seed, "train").tolist()
    assert chosen == sorted(set(chosen))
    taken = Counter(labels[position] for position in chosen)
    assert taken == {label: min(per_class, count) for label, count in Counter(labels).items()}


@given(labelled, st.integers(1, 20), seeds)
def test_a_smaller_draw_is_part_of_a_larger_one(
    labels: list[int], per_class: int, seed: int
) -> None:
    smaller = choose_per_class(np.array(labels), per_class, seed, "train")
    larger = choose_per_class(np.array(labels), per_class + 1, seed, "train")
    assert set(smaller.tolist()) <= set(larger.tolist())


def test_no_limit_keeps_everything() -> None:
    assert choose_per_class(np.array([1, 0, 1]), None, 0, "train").tolist() == [0, 1, 2]


def test_the_draw_is_a_function_of_seed_and_split() -> None:
    labels = np.repeat(np.arange(3), 50)
    draws = [
        tuple(choose_per_class(labels, 10, seed, split).tolist())
        for seed, split in ((0, "train"), (1, "train"), (0, "valid"))
    ]
    assert len(set(draws)) == 3
    assert tuple(choose_per_class(labels, 10, 0, "train").tolist()) == draws[0]


def test_all_images_are_equally_likely() -> None:
    labels = np.zeros(10, np.int64)
    counts = Counter(
        position
        for seed in range(1000)
        for position in choose_per_class(labels, 3, seed, "train").tolist()
    )
    assert set(counts) == set(range(10))
    assert all(230 < count < 370 for count in counts.values())  # 300 expected, 5 deviations wide
