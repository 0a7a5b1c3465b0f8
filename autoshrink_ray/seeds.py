"""Random choices as functions of a seed and a name: no generator state, no order, no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

_SEED_BITS = 63


def derive_seed(*parts: object) -> int:
    """Non-negative 63-bit seed from `parts`: the same on every machine and Python version."""
    text = "\x1f".join(str(part) for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def evaluation_seed(base: int, key: str, repetition: int = 0) -> int:
    """Seed that trains the topology named `key`, whoever asks, whenever, wherever."""
    return derive_seed(base, key, repetition)


def shuffled(items: Iterable[T], *parts: object) -> list[T]:
    """`items` in uniformly random order, a function of `parts` alone.

    Sorting by hash draws without replacement: the first k are k different items, uniformly.
    """
    ranked = [(derive_seed(*parts, place, item), place, item) for place, item in enumerate(items)]
    return [item for _, _, item in sorted(ranked, key=lambda entry: entry[:2])]
