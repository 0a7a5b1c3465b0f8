"""The same numbers on every machine, today and in a year: they are part of every run's result."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.seeds import derive_seed, evaluation_seed, shuffled

parts = st.lists(st.one_of(st.integers(), st.text()), max_size=4)


@pytest.mark.parametrize(
    ("named", "seed"),
    [
        ((), 8203414616412130826),
        (("a",), 7299139317422481125),
        (("a", "b"), 8657728790167507790),
        (("ab",), 9063230908846710674),
        ((0, "size", 1), 7809679685381466004),
    ],
)
def test_known_seeds(named: tuple[object, ...], seed: int) -> None:
    assert derive_seed(*named) == seed


def test_known_evaluation_seeds() -> None:
    assert evaluation_seed(0, "conv1x1:0|sep3x3:0,1") == 1894747046907314299
    assert evaluation_seed(7, "", repetition=1) == 5973842193830685473


def test_known_draws() -> None:
    assert "".join(shuffled("abcdefgh", 0)) == "gadhcefb"
    assert "".join(shuffled("abcdefgh", 1, "x")) == "fcagedhb"
    assert shuffled([(0, 1), (0, 2), (1, 2)], 0, "round", 1) == [(1, 2), (0, 1), (0, 2)]


def test_pythons_hash_seed_does_not_matter() -> None:
    code = (
        "from autoshrink_ray.seeds import *; print(derive_seed('a', (0, 1)), shuffled('abcd', 1))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1


@given(parts.filter(lambda found: "\x1f" not in "".join(map(str, found))))
def test_a_seed_is_the_start_of_sha_256(named: list[object]) -> None:
    text = "\x1f".join(map(str, named))
    first_bits = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) // 2
    assert derive_seed(*named) == first_bits
    assert 0 <= derive_seed(*named) < 2**63


def test_everything_an_evaluation_depends_on_changes_its_seed() -> None:
    seeds = {
        evaluation_seed(base, key, repetition)
        for base in range(10)
        for key in ("a:0", "a:0|a:0", "a:0|a:1")
        for repetition in range(3)
    }
    assert len(seeds) == 90


def test_seeds_are_spread_evenly() -> None:
    """Standard deviation 14.4; the bounds are five of them."""
    eighths = Counter(derive_seed("spread", number) >> 60 for number in range(1920))
    odd = sum(derive_seed("spread", number) % 2 for number in range(1920))
    assert set(eighths) == set(range(8))
    assert all(abs(count - 240) < 72 for count in eighths.values()), eighths
    assert abs(odd - 960) < 110


@given(st.lists(st.integers()), parts)
def test_shuffling_keeps_every_item(items: list[int], named: list[object]) -> None:
    assert sorted(shuffled(items, *named)) == sorted(items)
    assert shuffled(iter(items), *named) == shuffled(items, *named)


def test_every_order_comes_up_about_equally_often() -> None:
    """Standard deviation 13; the bounds are five of them."""
    orders = Counter(tuple(shuffled("abc", seed)) for seed in range(1200))
    assert len(orders) == 6
    assert all(abs(count - 200) < 65 for count in orders.values()), orders


def test_equal_items_are_shuffled_too() -> None:
    assert shuffled(["a", "a", "b"], 0).count("a") == 2
    places = {tuple(shuffled(["a", "a", "b"], seed)) for seed in range(50)}
    assert len(places) == 3
