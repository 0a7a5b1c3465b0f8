from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from autoshrink_ray.contracts import ImageShape
from tests.trainables.data.files import request
from trainables.data import digits, pydoc


def test_digits_are_all_there_with_a_fifth_of_each_class_for_validation() -> None:
    data, loaded = digits(request("digits")), load_digits()
    assert data.shape == ImageShape(channels=1, height=8, width=8, classes=10)
    assert data.class_names == tuple("0123456789")
    train, valid = np.bincount(data.train_labels), np.bincount(data.valid_labels)
    np.testing.assert_array_equal(train + valid, np.bincount(loaded.target))
    np.testing.assert_array_equal(valid, (train + valid) // 5)
    for digit in range(10):
        of_digit = loaded.images[loaded.target == digit] * 255 / 16
        ours = [
            images[labels == digit]
            for images, labels in (
                (data.train_images, data.train_labels),
                (data.valid_images, data.valid_labels),
            )
        ]
        assert np.abs(np.concatenate(ours)[..., 0] - of_digit).max() <= 0.5


def test_digits_read_all_image_options() -> None:
    data = digits(request("digits", train_per_class=7, valid_per_class=3, image_size=12, seed=5))
    assert data.train_images.shape == (70, 12, 12, 1)
    assert data.valid_images.shape == (30, 12, 12, 1)
    other = digits(request("digits", train_per_class=7, valid_per_class=3, image_size=12, seed=6))
    assert other.fingerprint != data.fingerprint


def test_pydoc_is_english_in_lines() -> None:
    data = pydoc(request("pydoc"))
    words = [data.vocabulary[number] for number in data.train.tolist()]
    text = " ".join(words)
    assert "the" in words
    assert "<eos>" in words
    assert text == text.lower()
    lines = [line.split() for line in text.split("<eos>")[:-1]]
    assert all(lines)
    underlined = [line for line in lines if len(line) > 9 and len(set(line[-9:])) == 1]
    assert underlined == []


def test_pydoc_is_split_into_about_80_10_10() -> None:
    data = pydoc(request("pydoc"))
    sizes = np.array([len(data.train), len(data.valid), len(data.test)])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.8, 0.1, 0.1], atol=0.03)
    assert sizes.sum() > 50_000


def test_pydoc_has_no_word_that_training_sees_less_than_three_times() -> None:
    data = pydoc(request("pydoc"))
    counts = np.bincount(data.train, minlength=len(data.vocabulary))
    rare = [word for word, count in zip(data.vocabulary, counts, strict=True) if count < 3]
    assert rare == []
    assert "<unk>" in data.vocabulary


@pytest.mark.parametrize("spec", ["digits", "pydoc"])
def test_no_torch_is_needed(spec: str) -> None:
    program = (
        "import sys; from autoshrink_ray.contracts import DataRequest; import trainables.data as d;"
        f"d.{spec}(DataRequest({spec!r}, {{}})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
