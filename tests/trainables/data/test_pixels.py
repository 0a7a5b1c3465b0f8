from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from autoshrink_ray.errors import DataError
from tests.trainables.data.files import encoded, random_pixels
from trainables.data.pixels import decode, resized

FORMATS = ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"]


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_give_the_pixels_back(file_format: str, channels: int) -> None:
    pixels = random_pixels(5, 7, channels)
    np.testing.assert_array_equal(decode(encoded(pixels, file_format), "x"), pixels)


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("CMYK", 3)],
)
def test_every_mode_of_8_bits_becomes_gray_or_rgb(mode: str, channels: int) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (6, 4)).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    assert decode(buffer.getvalue(), "x").shape == (4, 6, channels)


def test_a_palette_with_transparency_becomes_rgb() -> None:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=bytes([0, 128]))
    assert decode(buffer.getvalue(), "x").tolist() == [[[10, 20, 30]] * 2] * 2


@pytest.mark.parametrize("mode", ["I", "I;16", "F"])
def test_more_than_8_bits_are_refused(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (2, 2)).save(buffer, "TIFF")
    with pytest.raises(DataError, match=r"a\.img: an image has 8 bits a channel, got mode"):
        decode(buffer.getvalue(), "a.img")


@pytest.mark.parametrize("content", [b"", b"not an image", encoded(random_pixels(9, 9, 3))[:60]])
def test_a_broken_image_is_named(content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.png is not a readable image"):
        decode(content, "a.png")


def test_an_image_of_unreasonable_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    with pytest.raises(DataError, match=r"a\.png is not a readable image: .* decompression bomb"):
        decode(encoded(random_pixels(8, 8, 3)), "a.png")


@pytest.fixture
def small_images_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage to a header shall not make a test decode gigabytes."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)


@pytest.mark.parametrize("file_format", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(damage=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6))
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.usefixtures("small_images_only")
def test_damage_gives_pixels_or_a_data_error(
    file_format: str, damage: list[tuple[int, int]]
) -> None:
    content = bytearray(encoded(random_pixels(6, 6, 3), file_format))
    for position, value in damage:
        content[position % len(content)] = value
    try:
        pixels = decode(bytes(content), "x")
    except DataError:
        return
    assert pixels.ndim == 3
    assert pixels.shape[2] in (1, 3)


def test_resizing_brings_the_shorter_side_to_size_and_crops_the_centre() -> None:
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, 4:8] = 200
    assert (resized(pixels, 4) == 200).all()
    assert (resized(pixels.transpose(1, 0, 2), 4) == 200).all()
    assert (resized(pixels, 8)[:, 2:6] > 190).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_keeps_the_channels(channels: int) -> None:
    assert resized(random_pixels(5, 9, channels), 3).shape == (3, 3, channels)


def test_the_size_it_has_leaves_an_image_untouched() -> None:
    pixels = random_pixels(5, 5, 3)
    np.testing.assert_array_equal(resized(pixels, 5), pixels)
    np.testing.assert_array_equal(resized(pixels, None), pixels)
