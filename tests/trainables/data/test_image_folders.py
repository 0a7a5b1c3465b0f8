from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoshrink_ray.errors import DataError
from tests.trainables.data.files import encoded, random_pixels, request, write_image_folder
from trainables.data import ImageSet, imagefolder

TRAIN = {
    "cat": random_pixels(2, 4, 4, 3),
    "cat-1": random_pixels(3, 4, 4, 3, seed=1),
    "ant": random_pixels(2, 4, 4, 3, seed=2),
}
VALID = {name: images[:1] for name, images in TRAIN.items()}
CLASSES = ("ant", "cat", "cat-1")


def write(root: Path, classes: dict[str, Any], file_format: str = "PNG") -> None:
    contents = {
        name: [encoded(image, file_format) for image in images] for name, images in classes.items()
    }
    write_image_folder(root, contents, file_format.lower())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "train", TRAIN)
    write(tmp_path / "valid", VALID)
    return tmp_path


def load(folder: Path | str, **options: Any) -> ImageSet:
    return imagefolder(request(f"imagefolder:{folder}", **options))


def test_gives_back_what_was_written(folder: Path) -> None:
    data = load(folder)
    assert data.class_names == CLASSES
    for number, name in enumerate(CLASSES):
        np.testing.assert_array_equal(data.train_images[data.train_labels == number], TRAIN[name])
        np.testing.assert_array_equal(data.valid_images[data.valid_labels == number], VALID[name])


def test_a_uri_gives_the_same_as_a_path(folder: Path) -> None:
    assert load(folder.as_uri()).fingerprint == load(folder).fingerprint


@pytest.mark.parametrize("name", ["val", "test"])
def test_the_validation_folder_has_other_names_too(folder: Path, name: str) -> None:
    expected = load(folder).fingerprint
    (folder / "valid").rename(folder / name)
    assert load(folder).fingerprint == expected


def test_valid_goes_before_test(folder: Path) -> None:
    expected = load(folder).fingerprint
    write(folder / "test", TRAIN)
    assert load(folder).fingerprint == expected


@pytest.mark.parametrize("file_format", ["BMP", "WEBP", "GIF", "JPEG", "TIFF", "PPM"])
def test_reads_the_usual_formats(folder: Path, file_format: str) -> None:
    shutil.rmtree(folder / "valid")
    write(folder / "valid", VALID, file_format)
    assert load(folder).valid_images.shape == (3, 4, 4, 3)


def test_suffixes_have_no_case_and_folders_may_be_nested(folder: Path) -> None:
    cat = folder / "train" / "cat"
    (cat / "1.png").rename(cat / "1.PNG")
    (cat / "more").mkdir()
    (cat / "0.png").rename(cat / "more" / "0.png")
    assert np.bincount(load(folder).train_labels).tolist() == [2, 2, 3]


def test_hidden_names_and_other_files_are_passed_over(folder: Path) -> None:
    expected = load(folder).fingerprint
    (folder / "train" / "cat" / "._0.png").write_bytes(b"no image")
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    (folder / "train" / ".cache").mkdir()
    (folder / "train" / ".cache" / "0.png").write_bytes(b"no image")
    (folder / "train" / "loose.png").write_bytes(b"no image")
    assert load(folder).fingerprint == expected


def test_only_the_chosen_images_are_decoded(folder: Path) -> None:
    (folder / "train" / "cat" / "0.png").write_bytes(b"broken")
    outcomes = set()
    for seed in range(20):
        try:
            outcomes.add(len(load(folder, train_per_class=1, seed=seed).train_labels))
        except DataError:
            outcomes.add(0)
    assert outcomes == {0, 3}


def test_a_broken_image_is_named(folder: Path) -> None:
    (folder / "train" / "cat" / "1.png").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"train/cat/1\.png is not a readable image"):
        load(folder)


def test_broken_images_are_left_out_up_to_what_is_allowed(folder: Path) -> None:
    whole = load(folder)
    (folder / "train" / "cat" / "1.png").write_bytes(b"broken")
    data = load(folder, max_bad_fraction=1 / 7)
    good = [0, 1, 2, 3, 4, 5]  # "cat-1" sorts before "cat/"
    np.testing.assert_array_equal(data.train_images, whole.train_images[good])
    np.testing.assert_array_equal(data.train_labels, whole.train_labels[good])
    (left_out,) = data.left_out
    assert "train/cat/1.png is not a readable image" in left_out
    assert f"; 1 damaged and left out, the first: {left_out}" in data.summary
    assert whole.left_out == ()
    message = r"train: 1 or more of 7 images cannot be decoded, a fraction of 0\.143, and max_bad"
    with pytest.raises(DataError, match=message):
        load(folder, max_bad_fraction=0.14)


def test_different_sizes_need_an_image_size(folder: Path) -> None:
    (folder / "train" / "cat" / "1.png").write_bytes(encoded(random_pixels(9, 4, 3)))
    with pytest.raises(DataError, match=r"got 9 x 4 in .*cat/1\.png and 4 x 4 in .*0\.png"):
        load(folder)
    assert load(folder, image_size=3).train_images.shape == (7, 3, 3, 3)


def test_the_splits_have_the_same_classes(folder: Path) -> None:
    (folder / "valid" / "cat").rename(folder / "valid" / "dog")
    with pytest.raises(DataError, match="only in train: cat; only in valid: dog"):
        load(folder)


def test_a_class_without_images_is_refused(folder: Path) -> None:
    (folder / "valid" / "cat" / "0.png").unlink()
    with pytest.raises(DataError, match=r"valid/cat has no images; their names end in \.bmp"):
        load(folder)


@pytest.mark.parametrize("name", ["train", "valid"])
def test_missing_folders_are_listed_against_what_is_there(folder: Path, name: str) -> None:
    shutil.rmtree(folder / name)
    left = {"train": "valid", "valid": "train"}[name]
    with pytest.raises(DataError, match=rf"under valid, val or test; got folders: {left}$"):
        load(folder)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got folders: none"):
        load(tmp_path)


def test_images_without_class_folders_are_refused(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    (folder / "train").mkdir()
    (folder / "train" / "0.png").write_bytes(encoded(random_pixels(4, 4, 3)))
    with pytest.raises(DataError, match=r"train has a folder for each class, got none"):
        load(folder)
