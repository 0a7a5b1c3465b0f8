from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.final.image_recipe import ImageRecipe
from trainables.final.inputs.transforms import Centre, Erasing, normalised, training_transform

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))
NOTHING: dict[str, Any] = {
    "crop_area": None,
    "crop": 1.0,
    "flip": False,
    "erasing": 0.0,
    "jitter_above": 1000,
}


def noise(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def transform(size: tuple[int, int], **changes: Any) -> Any:
    return training_transform(ImageRecipe(**(NOTHING | changes)), size)


@given(sizes, sizes, st.floats(0.05, 1), st.sampled_from([1, 3]))
def test_the_centre_has_the_size_that_is_wanted(
    given_size: tuple[int, int], wanted: tuple[int, int], crop: float, channels: int
) -> None:
    assert Centre(wanted, crop)(noise(channels, *given_size)).shape == (channels, *wanted)


def test_the_centre_keeps_the_central_part() -> None:
    image = torch.zeros(1, 16, 32, dtype=torch.uint8)
    image[:, 1:15, 2:30] = 200  # 87.5 % of height and width
    assert torch.equal(
        Centre((14, 28), 0.875)(image), torch.full((1, 14, 28), 200, dtype=torch.uint8)
    )
    assert (Centre((7, 7), 0.875)(image) == 200).all()


def test_an_image_that_is_right_is_passed_on() -> None:
    image = noise(3, 5, 7)
    assert Centre((5, 7), 1.0)(image) is image


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_erasing_happens_with_its_probability(probability: float) -> None:
    torch.manual_seed(0)
    erasing, image = Erasing(probability, (0.5, 0.5)), torch.full((1, 8, 8), 9, dtype=torch.uint8)
    erased = sum(not torch.equal(erasing(image), image) for _ in range(400)) / 400
    assert erased == pytest.approx(probability, abs=0.1)
    assert (image == 9).all()


def test_the_sides_of_what_is_erased_are_drawn_independently() -> None:
    """Each from 8 % to all of the image's, whatever the other one is; filled with noise."""
    torch.manual_seed(0)
    erasing, image = Erasing(1.0, (0.08, 1.0)), torch.zeros(1, 40, 60, dtype=torch.uint8)
    shapes, noise_mean = [], []
    for _ in range(500):
        changed = erasing(image)[0]
        rows, columns = changed.any(dim=1).nonzero(), changed.any(dim=0).nonzero()
        height, width = (int(span.max() - span.min()) + 1 for span in (rows, columns))
        shapes.append((height / 40, width / 60))
        noise_mean.append(changed.float().sum().item() / (height * width))
    table = torch.tensor(shapes)
    assert table.min() >= 0.05
    assert table.max() == 1.0
    assert table.mean(dim=0).tolist() == pytest.approx([0.54, 0.54], abs=0.05)
    assert abs(torch.corrcoef(table.T)[0, 1].item()) < 0.15
    assert sum(noise_mean) / 500 == pytest.approx(127.5, rel=0.05)


def test_nothing_is_changed_if_nothing_is_asked_for() -> None:
    image = noise(3, 6, 6)
    assert torch.equal(transform((6, 6))(image), image)


def test_a_flip_mirrors_half_of_the_images() -> None:
    torch.manual_seed(0)
    image, flip = noise(1, 4, 4), transform((4, 4), flip=True)
    seen = [flip(image) for _ in range(200)]
    mirrored = sum(torch.equal(each, image.flip(2)) for each in seen)
    assert mirrored + sum(torch.equal(each, image) for each in seen) == 200
    assert 70 < mirrored < 130


def test_padding_shifts_the_image_over_black() -> None:
    torch.manual_seed(0)
    image, shift = torch.full((1, 4, 4), 7, dtype=torch.uint8), transform((4, 4), crop_padding=1)
    shifts = {tuple(shift(image).flatten().tolist()) for _ in range(200)}
    assert len(shifts) == 9  # -1, 0, 1 each way
    assert all(set(each) <= {0, 7} for each in shifts)


def test_a_random_crop_keeps_the_part_that_is_asked_for() -> None:
    """Of an image with 400 different columns, the span of columns that is left says how many."""
    torch.manual_seed(0)
    image = torch.arange(200).repeat(200, 1)[None].to(torch.uint8)
    crop = transform((200, 200), crop_area=(0.75, 1.0), crop_aspect=(0.75, 1.33))
    spans = []
    for _ in range(100):
        row = crop(image)[0, 100].int()
        spans.append(int(row.max() - row.min()) / 200)
    assert min(spans) >= (0.75 * 0.75) ** 0.5 - 0.03
    assert max(spans) <= 1
    assert max(spans) - min(spans) > 0.1


def test_interpolations_are_drawn() -> None:
    torch.manual_seed(0)
    image = torch.zeros(1, 3, 3, dtype=torch.uint8)
    image[0, 1, 1] = 100
    crop = transform((9, 9), crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0))
    assert len({tuple(crop(image).flatten().tolist()) for _ in range(60)}) == 3


@pytest.mark.parametrize(("size", "jitters"), [(96, False), (97, True)])
def test_colours_change_above_96_pixels(size: int, jitters: bool) -> None:
    torch.manual_seed(0)
    image = noise(3, size, size)
    jitter = transform((size, size), jitter_above=96)
    assert torch.equal(jitter(image), image) is not jitters


@given(
    st.sampled_from([1, 3]),
    st.integers(1, 3),
    st.floats(0.01, 0.99),
    st.floats(0.01, 2),
)
def test_normalised_is_the_plain_formula(count: int, batch: int, mean: float, std: float) -> None:
    images = noise(batch, count, 4, 5)
    means, stds = [mean + 0.1 * c for c in range(count)], [std + 0.1 * c for c in range(count)]
    found = normalised(images, means, stds)
    plain = (images / 255 - torch.tensor(means).view(1, -1, 1, 1)) / torch.tensor(stds).view(
        1, -1, 1, 1
    )
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_the_papers_scale_is_from_minus_one_to_one() -> None:
    ends = normalised(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2), [0.5], [0.5])
    assert ends.flatten().tolist() == pytest.approx([-1, 1])
