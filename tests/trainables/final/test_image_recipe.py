from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trainables.final.image_recipe import ImageRecipe
from trainables.final.recipes import recipe


def test_the_imagenet_recipe_is_the_papers() -> None:
    paper = recipe(ImageRecipe, "imagenet", {})
    assert paper == ImageRecipe()
    assert (paper.epochs, paper.warmup_epochs, paper.learning_rate) == (300, 10, 0.1)
    assert (paper.optimiser, paper.ema_decay, paper.label_smoothing) == ("rmsprop_tf", 0.999, 0.1)
    assert (paper.l2, paper.erasing, paper.erasing_side) == (4e-5, 0.5, (0.08, 1.0))
    assert (paper.crop_area, paper.crop_aspect, paper.flip) == ((0.75, 1.0), (0.75, 1.33), True)
    assert (paper.colour_jitter, paper.hue_jitter, paper.jitter_above) == (0.4, 0.1, 96)
    assert (paper.mean, paper.std, paper.crop) == ((0.5,), (0.5,), 0.875)  # to [-1, 1]


@pytest.mark.parametrize("name", ["cifar", "digits"])
def test_the_other_recipes_need_no_resized_images(name: str) -> None:
    small = recipe(ImageRecipe, name, {})
    assert small.crop_area is None
    assert small.crop == 1.0


@given(st.integers(1, 300), st.integers(1, 32))
def test_the_learning_rate_is_the_papers_formula(epoch: int, batches: int) -> None:
    plain = 0.1 * epoch / 10 if epoch < 10 else 0.05 * (1 + math.cos(math.pi * (epoch - 10) / 290))
    rate = ImageRecipe(batch_size=64 * batches).learning_rate_in(epoch)
    assert rate == pytest.approx(plain * batches / 4, abs=1e-12)


@given(st.integers(2, 40), st.data())
def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing(epochs: int, data: Any) -> None:
    warmup = data.draw(st.integers(0, epochs - 1))
    chosen = ImageRecipe(epochs=epochs, warmup_epochs=warmup)
    rates = [chosen.learning_rate_in(epoch) for epoch in range(1, epochs + 1)]
    assert all(0 <= rate <= 0.1 for rate in rates)
    assert rates[:warmup] == sorted(rates[:warmup])
    assert rates[max(0, warmup - 1) :] == sorted(rates[max(0, warmup - 1) :], reverse=True)
    assert rates[-1] == pytest.approx(0)
    assert not warmup or rates[warmup - 1] == pytest.approx(0.1) or warmup == epochs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 1, "warmup_epochs": 0}, "epochs is at least 2, .* rate 0, got 1"),
        ({"epochs": 10}, "warmup_epochs is less than epochs, got 10 and 10"),
        ({"crop_area": (0.9, 0.5)}, "crop_area is a least and a largest value"),
        ({"crop_aspect": (2.0, 0.5)}, "crop_aspect is a least"),
        ({"erasing_side": (0.9, 0.5)}, "erasing_side is a least"),
        ({"erasing_side": (0.0, 0.5)}, "erasing_side"),
        ({"optimiser": "adam"}, "rmsprop_tf"),
        ({"precision": "float16"}, "bfloat16"),
        ({"crop": 0}, "crop"),
        ({"mean": ()}, "mean"),
        ({"std": (0.0,)}, "std"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"max_bad_fraction": 1.0}, "max_bad_fraction"),
        ({"dropout": 0.5}, "dropout"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ImageRecipe.model_validate(settings)
