from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoshrink_ray.errors import DataError
from tests.trainables.data.files import encoded, random_pixels, write_image_folder
from tests.trainables.final.image_support import counted, image_data, loaded, network_file, setup
from trainables.final.image_recipe import ImageRecipe
from trainables.final.inputs.feeding import Feed
from trainables.final.inputs.loading import Batch, Loader
from trainables.final.inputs.orders import Order, batched
from trainables.final.inputs.sources import ImageData
from trainables.final.inputs.transforms import Centre, training_transform

NETWORK = network_file(channels=3, size=(100, 100), classes=2)  # large enough for colour jitter
RECIPE = ImageRecipe(batch_size=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of several sizes, one of them gray."""
    root = tmp_path_factory.mktemp("images")
    shapes = [(40, 50, 3), (60, 30, 3), (33, 33, 1), (50, 60, 3)]
    for split in ("train", "valid"):
        images = [random_pixels(*shape, seed=seed) for seed, shape in enumerate(shapes)]
        contents = [encoded(image, "JPEG") for image in images]
        write_image_folder(root / split, {"cat": contents, "dog": contents}, "jpg")
    return root


@pytest.fixture(scope="module")
def images(folder: Path) -> ImageData:
    return loaded(f"imagefolder:{folder}", NETWORK, RECIPE)


def loader(data: ImageData, workers: int = 0) -> Loader:
    size = (data.shape.height, data.shape.width)
    return Loader(
        data,
        training_transform(RECIPE, size),
        Centre(size, 0.875),
        workers=workers,
        pinned=False,
    )


@pytest.fixture(scope="module")
def helped(images: ImageData) -> Loader:
    return loader(images, workers=2)


def same(one: Batch, other: Batch) -> bool:
    return one.errors == other.errors and all(
        torch.equal(mine, yours) for mine, yours in zip(one[:3], other[:3], strict=True)
    )


@st.composite
def some_orders(draw: Any) -> list[tuple[str, list[tuple[int, int | None]]]]:
    item = st.tuples(st.integers(0, 7), st.none() | st.integers(0, 2**63 - 1))
    items = st.lists(item, min_size=1, max_size=4)
    return draw(st.lists(st.tuples(st.sampled_from(["train", "valid"]), items), max_size=5))


@given(some_orders(), st.integers(1, 2))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_processes_that_help_give_the_same_batches(
    images: ImageData, helped: Loader, wanted: list[Any], threads: int
) -> None:
    orders = [
        Order(split, [images.source(split).item(p, seed) for p, seed in items])  # type: ignore[attr-defined]
        for split, items in wanted
    ]
    torch.set_num_threads(threads)
    try:
        alone = list(loader(images).batches(orders))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
    together = list(helped.batches(orders))
    assert len(alone) == len(together) == len(orders)
    assert all(same(*pair) for pair in zip(alone, together, strict=True))


def test_an_iteration_that_is_given_up_does_not_disturb_the_next(
    images: ImageData, helped: Loader
) -> None:
    orders = list(batched("valid", images.valid.in_order(0, 1), 1))
    next(helped.batches(orders))
    expected = list(loader(images).batches(orders))
    assert all(same(*pair) for pair in zip(helped.batches(orders), expected, strict=True))


def test_random_numbers_outside_are_neither_used_nor_disturbed(images: ImageData) -> None:
    item = images.train.item(3, 5)  # type: ignore[attr-defined]
    torch.manual_seed(1)
    (first,) = loader(images).batches([Order("train", [item])])
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    (second,) = loader(images).batches([Order("train", [item])])
    assert same(first, second)


def test_gray_images_become_rgb_for_a_network_of_colours(images: ImageData) -> None:
    item = images.valid.item(2)  # type: ignore[attr-defined]
    (batch,) = loader(images).batches([Order("valid", [item])])
    assert batch.images.shape == (1, 3, 100, 100)
    assert torch.equal(batch.images[:, 0], batch.images[:, 2])


def feed(data: ImageData, **changes: Any) -> Feed:
    height, width = data.shape.height, data.shape.width
    inputs = {"mean": data.mean, "std": data.std, "image_size": [height, width], "crop": 1.0}
    return Feed(setup(data=data, **changes), inputs)


@pytest.fixture
def with_bad_ones(tmp_path: Path) -> Path:
    """Of 10 training and 5 validation images, one each is damaged."""
    for split, count in (("train", 5), ("valid", 2)):
        contents = [encoded(random_pixels(6, 6, 1, seed=seed)) for seed in range(count)]
        classes = {"cat": contents, "dog": [*contents, b"broken"] if split == "valid" else contents}
        write_image_folder(tmp_path / split, classes, "png")
    (tmp_path / "train" / "dog" / "1.png").write_bytes(b"broken")
    return tmp_path


def test_a_damaged_image_keeps_its_place_with_weight_0(with_bad_ones: Path) -> None:
    network = network_file(classes=2)
    data = loaded(f"imagefolder:{with_bad_ones}", network, ImageRecipe(batch_size=5))
    orders = list(batched("train", data.train.in_order(0, 1), 5))
    first, second = loader(data).batches(orders)
    assert first.weights.tolist() == [1] * 5
    assert second.weights.tolist() == [1, 0, 1, 1, 1]
    assert torch.equal(second.images[1], second.images[0])
    assert second.labels.tolist() == [1] * 5
    (error,) = second.errors
    assert "train/dog/1.png is not a readable image" in error
    (alone,) = loader(data).batches([Order("train", [orders[1].items[1]])])
    assert alone.weights.tolist() == [0]
    assert not alone.images.any()


def test_damaged_images_are_counted_up_to_what_is_allowed(with_bad_ones: Path) -> None:
    network = network_file(classes=2)
    recipe = ImageRecipe(batch_size=5, max_bad_fraction=0.15)
    data = loaded(f"imagefolder:{with_bad_ones}", network, recipe)
    world = setup(network).world
    allowed = feed(data, max_bad_fraction=0.15)
    batches = allowed.over("train", batched("train", data.train.in_order(0, 1), 5))
    assert len(list(batches)) == 2
    assert batches.bad_images(world) == 1
    batches = allowed.over("valid", batched("valid", data.valid.in_order(0, 1), 5))
    message = r"1 or more of 5 images cannot be decoded, a fraction of 0\.2, and max_bad_fraction"
    with pytest.raises(DataError, match=message + r" is 0\.15; the first: .*valid/dog/2\.png"):
        list(batches)
    none = feed(data).over("train", batched("train", data.train.in_order(0, 1), 5))
    with pytest.raises(DataError, match=r"train/dog/1\.png is not a readable image"):
        list(none)


def test_images_in_memory_are_shared_with_processes() -> None:
    data = image_data(counted(9), network_file(size=(4, 4), classes=2))
    reader = data.train.reader(1, shared=True)
    item = data.train.item(7)  # type: ignore[attr-defined]
    assert torch.equal(reader(item), torch.full((1, 4, 4), 7, dtype=torch.uint8))
    assert reader.images.is_shared()  # type: ignore[attr-defined]
