from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import ConfigError, DataError
from tests.trainables.data.files import (
    encoded,
    random_pixels,
    write_image_folder,
    write_parquet,
)
from tests.trainables.final.image_support import loaded, network_file
from trainables.data import imagefolder, parquet
from trainables.final.image import IMAGE_TASK
from trainables.final.image_recipe import ImageRecipe
from trainables.final.inputs import reading
from trainables.final.inputs.sources import FolderSource, ImageData, MemorySource
from trainables.final.inputs.streaming import TableSource

IMAGES = random_pixels(12, 6, 6, 3)
LABELS = [position % 2 for position in range(12)]
NETWORK = network_file(channels=3, classes=2)
RECIPE = ImageRecipe(batch_size=4)
OWN = RECIPE.model_copy(update={"mean": None, "std": None, "crop": 1.0})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contents = [encoded(image) for image in IMAGES]
    for split in ("train", "valid"):
        write_image_folder(tmp_path / split, {"a": contents[::2], "b": contents[1::2]}, "png")
    return tmp_path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for split in ("train", "valid"):
        contents = [encoded(image) for image in IMAGES]
        write_parquet(tmp_path / f"{split}.parquet", contents, LABELS, {"classes": "a,b"})
    return tmp_path


def pixels(data: ImageData, split: str) -> dict[int, torch.Tensor]:
    source = data.source(split)
    read = source.reader(data.shape.channels, shared=False)
    return {item.position: read(item) for item in source.in_order(0, 1)}


def test_a_folder_is_read_lazily_and_like_the_eager_one(folder: Path) -> None:
    data = loaded(f"imagefolder:{folder}", NETWORK, OWN)
    eager = imagefolder(DataRequest(f"imagefolder:{folder}", {}))
    assert isinstance(data.train, FolderSource)
    assert data.class_names == eager.class_names == ("a", "b")
    assert data.train.labels.tolist() == eager.train_labels.tolist()
    for position, image in pixels(data, "train").items():
        assert np.array_equal(image.permute(1, 2, 0).numpy(), eager.train_images[position])
    assert data.mean == pytest.approx(eager.mean)
    assert data.std == pytest.approx(eager.std)
    assert "12 training and 12 validation images, 2 classes" in data.summary
    assert data.ray_datasets() == {}


def test_files_that_workers_read_are_those_of_no_memory(folder: Path) -> None:
    """What a preflight looks for on every node."""
    write_parquet(
        folder / "train.parquet", [encoded(i) for i in IMAGES], LABELS, {"classes": "a,b"}
    )
    write_parquet(
        folder / "valid.parquet", [encoded(i) for i in IMAGES], LABELS, {"classes": "a,b"}
    )
    streamed = loaded(f"parquet:{folder}", NETWORK, OWN.model_copy(update={"stream": True}))
    kept = loaded(f"parquet:{folder}", NETWORK, OWN.model_copy(update={"stream": False}))
    lazy = loaded(f"imagefolder:{folder}", NETWORK, OWN)
    assert kept.files_of_workers() == []
    for data in (streamed, lazy):
        named = data.files_of_workers()
        assert {name.partition("/")[0].partition(".")[0] for _, name in named} == {"train", "valid"}
        assert all(Path(place, name).is_file() for place, name in named)


def test_a_folders_fingerprint_is_of_names_and_sizes(folder: Path, tmp_path: Path) -> None:
    def fingerprint(**options: Any) -> str:
        return loaded(f"imagefolder:{folder}", NETWORK, RECIPE, **options).fingerprint

    first = fingerprint()
    (folder / "valid").rename(folder / "val")
    assert fingerprint() == first  # a validation folder's name is free
    moved = folder.rename(folder.with_name("moved"))
    assert loaded(f"imagefolder:{moved.as_uri()}", NETWORK, RECIPE).fingerprint == first
    moved.rename(folder)
    assert fingerprint(train_per_class=3) != first
    image = folder / "train" / "a" / "0.png"
    image.write_bytes(image.read_bytes() + b"0")
    assert fingerprint() != first


def test_part_of_a_folder_is_the_part_that_a_search_takes(folder: Path) -> None:
    data = loaded(f"imagefolder:{folder}", NETWORK, RECIPE, train_per_class=3, seed=4)
    options = {"train_per_class": 3, "seed": 4}
    eager = imagefolder(DataRequest(f"imagefolder:{folder}", options))
    found = torch.stack(list(pixels(data, "train").values())).permute(0, 2, 3, 1)
    assert np.array_equal(found.numpy(), eager.train_images)


def test_a_table_that_fits_is_kept_in_memory(table: Path) -> None:
    data = loaded(f"parquet:{table}", NETWORK, RECIPE)
    assert isinstance(data.train, MemorySource)
    assert data.fingerprint == parquet(DataRequest(f"parquet:{table}", {})).fingerprint
    assert (data.mean, data.std) == ((0.5,) * 3, (0.5,) * 3)


def test_a_stream_has_what_the_table_has(table: Path) -> None:
    recipe = OWN.model_copy(update={"stream": True})
    data = loaded(f"parquet:{table}", NETWORK, recipe)
    eager = parquet(DataRequest(f"parquet:{table}", {}))
    assert isinstance(data.valid, TableSource)
    assert data.valid.groups == 4
    assert (len(data.train), data.class_names) == (12, ("a", "b"))
    for position, image in pixels(data, "valid").items():
        assert np.array_equal(image.permute(1, 2, 0).numpy(), eager.valid_images[position])
    assert [item.label for item in data.valid.in_order(0, 1)] == LABELS
    assert data.mean == pytest.approx(eager.mean)
    shares = [[item.position for item in data.valid.in_order(rank, 3)] for rank in range(3)]
    assert shares == [[0, 1, 2, 9, 10, 11], [3, 4, 5], [6, 7, 8]]


def test_a_table_is_streamed_where_memory_is_short(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = 12 * 6 * 6 * 3
    for memory, kind in ((4 * decoded, MemorySource), (4 * decoded - 4, TableSource)):
        monkeypatch.setattr(reading, "_memory", lambda memory=memory: memory)
        assert isinstance(loaded(f"parquet:{table}", NETWORK, RECIPE).train, kind)
        part = loaded(f"parquet:{table}", NETWORK, RECIPE, train_per_class=5)
        assert isinstance(part.train, MemorySource)
        never = RECIPE.model_copy(update={"stream": False})
        assert isinstance(loaded(f"parquet:{table}", NETWORK, never).train, MemorySource)


def test_a_streams_fingerprint_is_of_labels_and_sizes(table: Path) -> None:
    recipe = RECIPE.model_copy(update={"stream": True})
    first = loaded(f"parquet:{table}", NETWORK, recipe).fingerprint
    assert loaded(f"parquet:{table}", NETWORK, recipe).fingerprint == first
    contents = [encoded(image) for image in IMAGES]
    write_parquet(table / "train.parquet", contents, LABELS[::-1], {"classes": "a,b"})
    assert loaded(f"parquet:{table}", NETWORK, recipe).fingerprint != first


def test_only_tables_are_streamed_and_only_whole(folder: Path, table: Path) -> None:
    recipe = RECIPE.model_copy(update={"stream": True})
    with pytest.raises(ConfigError, match=r"stream is for data of the kind parquet:DIR, got 'imag"):
        loaded(f"imagefolder:{folder}", NETWORK, recipe)
    with pytest.raises(ConfigError, match="leave out train_per_class and valid_per_class, or stre"):
        loaded(f"parquet:{table}", NETWORK, recipe.model_copy(update={"valid_per_class": 1}))


def test_images_are_brought_to_the_networks_size_unless_they_are_cropped_at_random(
    table: Path,
) -> None:
    small = network_file(channels=3, size=(4, 4), classes=2)
    whole = RECIPE.model_copy(update={"crop_area": None})
    for recipe, network, size in (
        (whole, small, 4),
        (RECIPE, small, 6),
        (RECIPE.model_copy(update={"image_size": 5}), small, 5),
        (whole, network_file(channels=3, size=(4, 8), classes=2), 6),
    ):
        data = loaded(f"parquet:{table}", network, recipe)
        assert isinstance(data.train, MemorySource)
        assert data.train.images.shape == (12, size, size, 3)


@pytest.mark.parametrize("kind", ["memory", "folder", "stream"])
def test_data_that_contradict_the_network_are_refused(
    kind: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    contents = [encoded(image) for image in IMAGES]
    for split in ("train", "valid"):
        write_parquet(folder / f"{split}.parquet", contents, LABELS, {"classes": "a,b"})
    spec = f"{'imagefolder' if kind == 'folder' else 'parquet'}:{folder}"
    recipe = RECIPE.model_copy(update={"stream": kind == "stream" or None})
    with pytest.raises(DataError, match="tells 3 classes apart, the data have 2"):
        loaded(spec, network_file(channels=3), recipe)
    with pytest.raises(DataError, match=r"images of 1 channel\(s\), .*3"):
        loaded(spec, network_file(channels=1, classes=2), recipe)
    with pytest.raises(DataError, match=r"mean has one value, or one for each channel.*3, got 2"):
        loaded(spec, NETWORK, recipe.model_copy(update={"mean": (0.1, 0.2)}))
    large = recipe.model_copy(update={"batch_size": 13})
    data = loaded(spec, NETWORK, large)  # enough to evaluate on
    with pytest.raises(DataError, match="fill at least one batch: batch_size is 13, got 12 images"):
        IMAGE_TASK.require_trainable(data, large)


def test_gray_images_contradict_a_network_of_colours_where_all_are_known() -> None:
    network = network_file(channels=3, size=(8, 8), classes=10)
    with pytest.raises(DataError, match=r"takes images of 3 channel\(s\), the data's have 1"):
        loaded("digits", network, RECIPE)


def test_text_is_refused() -> None:
    with pytest.raises(DataError, match="image networks train on images, got 'pydoc'"):
        loaded("pydoc", NETWORK, RECIPE)


def test_a_split_without_images_is_refused(table: Path) -> None:
    write_parquet(table / "valid.parquet", [], np.array([], np.int64), {"classes": "a,b"})
    for stream in (None, True):
        with pytest.raises(DataError, match=r"valid\.parquet has no images"):
            loaded(f"parquet:{table}", NETWORK, RECIPE.model_copy(update={"stream": stream}))


def test_damaged_images_in_memory_are_left_out_and_named(table: Path) -> None:
    contents = [encoded(image) for image in IMAGES]
    contents[3], contents[7] = b"broken", None  # type: ignore[call-overload]
    write_parquet(table / "train.parquet", contents, LABELS, {"classes": "a,b"})
    with pytest.raises(DataError, match=r"train\.parquet, row 3 is not a readable image"):
        loaded(f"parquet:{table}", NETWORK, RECIPE)
    data = loaded(f"parquet:{table}", NETWORK, RECIPE.model_copy(update={"max_bad_fraction": 0.2}))
    assert len(data.train) == 10
    assert "2 damaged and left out, the first: " in data.summary
    assert "train.parquet, row 3" in data.summary
    message = r"2 or more of 12 images .* 0\.167, and max_bad_fraction is 0\.1; the first: .*row 3"
    with pytest.raises(DataError, match=message):
        loaded(f"parquet:{table}", NETWORK, RECIPE.model_copy(update={"max_bad_fraction": 0.1}))
