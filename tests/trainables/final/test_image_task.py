from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoshrink_ray.errors import ConfigError, DataError, RunError
from tests.trainables.data.files import encoded, random_pixels, write_image_folder, write_parquet
from tests.trainables.final.image_support import (
    counted,
    image_data,
    loaded,
    network_file,
    setup,
)
from tests.trainables.support import image_set
from trainables.final.contracts import Setup
from trainables.final.image import IMAGE_TASK
from trainables.final.image_recipe import ImageRecipe
from trainables.final.inputs.sources import ImageData


class Fixed(nn.Module):
    """Logits from the mean of an image, and a record of what it saw."""

    def __init__(self, classes: int, factor: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, classes) * factor)
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return -((images.mean(dim=(1, 2, 3))[:, None] - self.weight) ** 2)


def evaluated(
    module: nn.Module, made_from: Setup, split: str = "valid", **changes: Any
) -> dict[str, float]:
    inputs = IMAGE_TASK.inputs(made_from.recipe, made_from.data) | changes
    return IMAGE_TASK.evaluate(module, made_from.data, split, inputs, made_from)


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_evaluation_is_the_mean_over_all_images(split: str, batch: int) -> None:
    images = image_set(train=31, valid=25, classes=9, size=6)
    data = image_data(images, network_file(classes=9))
    module = Fixed(9)
    found = evaluated(module, setup(data=data, valid_batch_size=batch), split)
    pixels = torch.from_numpy(getattr(images, f"{split}_images").copy()).permute(0, 3, 1, 2)
    labels = torch.from_numpy(getattr(images, f"{split}_labels").copy())
    logits = Fixed(9)((pixels / 255 - data.mean[0]) / data.std[0])
    best = logits.argsort(dim=1, descending=True)
    assert found["loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((best[:, 0] == labels).float().mean().item())
    among = (best[:, :5] == labels[:, None]).any(dim=1).float().mean().item()
    assert found["top5_accuracy"] == pytest.approx(among)
    assert among > found["accuracy"]
    assert not module.training


def test_five_classes_have_no_top_5() -> None:
    data = image_data(image_set(classes=5, size=6), network_file(classes=5))
    assert evaluated(Fixed(5), setup(data=data)).keys() == {"loss", "accuracy"}


def test_inputs_are_plain_and_are_what_evaluation_follows() -> None:
    made_from = setup(data=image_data(counted(3), network_file(size=(4, 4), classes=2)))
    inputs = IMAGE_TASK.inputs(made_from.recipe, made_from.data)
    assert inputs == {
        "mean": list(made_from.data.mean),
        "std": list(made_from.data.std),
        "image_size": [4, 4],
        "crop": 1.0,
        "class_names": ["even", "odd"],
    }
    module = Fixed(2)
    evaluated(module, made_from, mean=[0.5], std=[0.25], image_size=[3, 5])
    (seen,) = module.seen
    assert seen.shape == (3, 1, 3, 5)
    values = (torch.arange(3) / 255 - 0.5) / 0.25
    torch.testing.assert_close(seen, values.view(3, 1, 1, 1).expand(3, 1, 3, 5))


def test_classes_are_numbered_as_in_training() -> None:
    made_from = setup()
    with pytest.raises(DataError, match="class 1 was 'x' there and is 'class1' in the data"):
        evaluated(Fixed(3), made_from, class_names=["class0", "x", "class2"])
    with pytest.raises(DataError, match="class 2 was None there and is 'class2'"):
        evaluated(Fixed(3), made_from, class_names=["class0", "class1"])


def test_unknown_splits_and_broken_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown split 'test'; choose one of train, valid"):
        evaluated(Fixed(3), setup(), "test")
    with pytest.raises(RunError, match="cannot be evaluated: diverged in valid loss nan"):
        evaluated(Fixed(3, torch.nan), setup())


def test_bfloat16_evaluates_about_the_same() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    precise = evaluated(module, setup())
    rounded = evaluated(module, setup(precision="bfloat16"))
    assert rounded["loss"] == pytest.approx(precise["loss"], rel=0.02)
    assert rounded["loss"] != precise["loss"]


@pytest.fixture
def with_bad_ones(tmp_path: Path) -> Path:
    """The same images in folders and in a table; in each split one of ten is damaged."""
    for split in ("train", "valid"):
        contents = [encoded(random_pixels(6, 6, 1, seed=seed)) for seed in range(10)]
        contents[7] = b"broken"
        write_image_folder(tmp_path / split, {"a": contents[:5], "b": contents[5:]}, "png")
        labels = [0] * 5 + [1] * 5
        write_parquet(tmp_path / f"{split}.parquet", contents, labels, {"classes": "a,b"})
    return tmp_path


def data_of(kind: str, folder: Path, **changes: Any) -> tuple[ImageRecipe, ImageData]:
    settings = {"batch_size": 5, "valid_batch_size": 3, "epochs": 3, "warmup_epochs": 1}
    recipe = ImageRecipe.model_validate(settings | changes)
    return recipe, loaded(f"{kind}:{folder}", network_file(classes=2), recipe)


@pytest.mark.parametrize(("kind", "stream"), [("imagefolder", None), ("parquet", True)])
def test_damaged_images_do_not_count(kind: str, stream: bool | None, with_bad_ones: Path) -> None:
    recipe, data = data_of(kind, with_bad_ones, max_bad_fraction=0.1, stream=stream)
    made_from = replace(setup(data=data), recipe=recipe)
    found = evaluated(Fixed(2), made_from)
    _, whole = data_of("parquet", with_bad_ones, max_bad_fraction=0.1)
    assert found == pytest.approx(evaluated(Fixed(2), replace(made_from, data=whole)))
    recipe, data = data_of(kind, with_bad_ones, stream=stream)
    with pytest.raises(DataError, match="not a readable image"):
        evaluated(Fixed(2), replace(setup(data=data), recipe=recipe))


def test_a_training_passes_over_damaged_images_counts_and_names_them(with_bad_ones: Path) -> None:
    recipe, data = data_of("imagefolder", with_bad_ones, max_bad_fraction=0.1)
    notes: list[str] = []
    made_from = setup(network_file(classes=2), data)
    made_from = replace(made_from, recipe=recipe, note=notes.append)
    training = IMAGE_TASK.training(made_from)
    assert training.run_epoch(0)["bad_images"] == 2
    training.run_epoch(0)
    assert [note.count("is not a readable image") for note in notes] == [1, 1]  # named once each
    assert "b/2.png is not a readable image" in " ".join(notes)
    clean = setup(network_file(classes=2), image_data(counted(8, size=6), network_file(classes=2)))
    assert "bad_images" not in IMAGE_TASK.training(clean).run_epoch(0)
    recipe, data = data_of("imagefolder", with_bad_ones)
    made_from = replace(made_from, recipe=recipe, data=data)
    with pytest.raises(DataError, match=r"b/2\.png is not a readable image"):
        IMAGE_TASK.training(made_from).run_epoch(0)
