from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.batches import EndlessShuffle, Jitter, as_tensor, segments, text_columns

CPU = torch.device("cpu")


def test_read_only_arrays_are_shared_without_a_warning() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    array.flags.writeable = False
    tensor = as_tensor(array)
    assert tensor.data_ptr() == array.ctypes.data
    assert tensor.tolist() == [[0, 1, 2], [3, 4, 5]]


@given(
    size=st.integers(1, 20),
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=10),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_number_comes_once_in_each_round(size: int, counts: list[int], seed: int) -> None:
    shuffle = EndlessShuffle(size, seed, CPU)
    draws = [shuffle.draw(count) for count in counts]
    assert [len(draw) for draw in draws] == counts
    drawn = torch.cat(draws).tolist()
    for start in range(0, len(drawn), size):
        numbers = drawn[start : start + size]
        assert len(set(numbers)) == len(numbers)
        assert set(numbers) <= set(range(size))


def test_orders_differ_from_round_to_round_and_from_seed_to_seed() -> None:
    shuffle = EndlessShuffle(100, 0, CPU)
    first, second = shuffle.draw(100), shuffle.draw(100)
    assert not torch.equal(first, second)
    assert torch.equal(first, EndlessShuffle(100, 0, CPU).draw(100))
    assert not torch.equal(first, EndlessShuffle(100, 1, CPU).draw(100))


def test_text_runs_down_the_columns_and_the_rest_is_dropped() -> None:
    words = np.arange(11, dtype=np.int32)
    columns = text_columns(words, 3)
    assert columns.dtype == torch.int64
    assert columns.tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]


@pytest.mark.parametrize(
    ("rows", "bptt", "probability", "expected"),
    [
        (11, 4, 0.0, [(0, 4), (4, 4), (8, 2)]),
        (9, 4, 0.0, [(0, 4), (4, 4)]),
        (2, 35, 0.0, [(0, 1)]),
        (10, 5, 1.0, [(0, 2), (2, 2), (4, 2), (6, 2), (8, 1)]),
        (4, 1, 1.0, [(0, 1), (1, 1), (2, 1)]),
    ],
)
def test_segments_cover_all_inputs(
    rows: int, bptt: int, probability: float, expected: list[tuple[int, int]]
) -> None:
    assert list(segments(rows, bptt, probability, torch.Generator())) == expected


def test_one_segment_in_twenty_is_half_as_long() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = [length for _, length in segments(35 * 4000, 35, 0.05, generator)][:-1]
    assert set(lengths) == {35, 17}
    assert 0.04 < lengths.count(17) / len(lengths) < 0.06


@given(
    rows=st.integers(2, 300),
    bptt=st.integers(1, 40),
    probability=st.floats(0, 1),
    deviation=st.floats(0, 100),
    seed=st.integers(0, 2**31),
)
def test_jittered_segments_cover_all_inputs_within_their_bounds(
    rows: int, bptt: int, probability: float, deviation: float, seed: int
) -> None:
    jitter = Jitter(deviation, least=min(5, bptt), most=bptt + 20)
    generator = torch.Generator().manual_seed(seed)
    cuts = list(segments(rows, bptt, probability, generator, jitter))
    assert [row for start, length in cuts for row in range(start, start + length)] == list(
        range(rows - 1)
    )
    lengths = [length for _, length in cuts]
    assert all(jitter.least <= length <= jitter.most for length in lengths[:-1])
    assert 1 <= lengths[-1] <= jitter.most


def test_jittered_lengths_are_normal_around_the_wanted_one() -> None:
    jitter = Jitter(5.0, least=5, most=55)
    for probability, mean in [(0.0, 35.0), (1.0, 17.0), (0.05, 0.95 * 35 + 0.05 * 17)]:
        generator = torch.Generator().manual_seed(0)
        cuts = list(segments(35 * 4000, 35, probability, generator, jitter))
        lengths = np.array([length for _, length in cuts[:-1]])
        assert lengths.mean() == pytest.approx(mean, abs=0.3)
        if probability in (0, 1):
            assert lengths.std() == pytest.approx(5, abs=0.2)


def test_an_absurd_deviation_stays_within_the_bounds() -> None:
    jitter = Jitter(1e308, least=2, most=9)
    lengths = {jitter.draw(5, torch.Generator().manual_seed(seed)) for seed in range(20)}
    assert lengths == {2, 9}
