"""Image networks in full training: loading their images, evaluating them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from torch import nn

from autoshrink_ray.contracts import DataRequest
from autoshrink_ray.errors import ConfigError, DataError, RunError, choices
from search_spaces.network import NetworkFile
from trainables.final.contracts import FullTask, Setup
from trainables.final.image_recipe import ImageRecipe
from trainables.final.image_scores import computes_in_bfloat16, scores
from trainables.final.image_training import ImageTraining
from trainables.final.inputs.feeding import Feed
from trainables.final.inputs.orders import batched
from trainables.final.inputs.reading import load_images
from trainables.final.inputs.sources import ImageData
from trainables.final.recipes import Recipe
from trainables.measure import DivergedError, require_finite


class ImageFullTask:
    """Trains image classifiers in full; see `trainables.final.contracts.FullTask`.

    Modules have to be a `trainables.image.ImageNetwork`.
    """

    quality = "accuracy"
    Recipe: type[Recipe] = ImageRecipe
    splits: tuple[str, ...] = ("train", "valid")

    def load(self, request: DataRequest, network: NetworkFile, recipe: ImageRecipe) -> ImageData:
        """Reads images into memory, or what is needed to read them batch by batch.

        Sets of the kind `imagefolder:DIR` are always read batch by batch, `parquet:DIR` as the
        recipe's `stream` says, all others never.

        Raises:
            ConfigError: If the data cannot be streamed and should be.
            DataError: With the rule and the value, also where the data contradict the network.
        """
        return load_images(request, network, recipe)

    def require_trainable(self, data: ImageData, recipe: ImageRecipe) -> None:
        """Raises DataError if the training images do not fill a batch."""
        if len(data.train) < recipe.batch_size:
            raise DataError(
                f"the training images fill at least one batch: batch_size is {recipe.batch_size}, "
                f"got {len(data.train)} images in {data.train.place}"
            )

    def inputs(self, recipe: ImageRecipe, data: ImageData) -> dict[str, Any]:
        """How images become the network's input, in this order.

        `crop`: central part of height and width that is kept; `image_size`: height and width that
        it is resized to, bicubic; `mean` and `std` of each channel, pixels in [0, 1]; and
        `class_names`, the name of each class.
        """
        return {
            "mean": list(data.mean),
            "std": list(data.std),
            "image_size": [data.shape.height, data.shape.width],
            "crop": recipe.crop,
            "class_names": list(data.class_names),
        }

    def training(self, setup: Setup) -> ImageTraining:
        """A training at its beginning."""
        return ImageTraining(setup, self.inputs(setup.recipe, setup.data))

    def evaluate(
        self,
        module: nn.Module,
        data: ImageData,
        split: str,
        inputs: Mapping[str, Any],
        setup: Setup,
    ) -> dict[str, float]:
        """`accuracy`, `loss`, and with more than 5 classes `top5_accuracy`, of a whole split.

        Training images are prepared like validation images: nothing is random.

        Raises:
            ConfigError: If there is no such split.
            DataError: If the data's classes are not those of `inputs`, or too many images cannot
                be decoded.
            RunError: If the loss is not finite.
        """
        if split not in self.splits:
            raise ConfigError(f"unknown split {split!r}; choose one of {choices(self.splits)}")
        _check_classes(inputs, data)
        items = data.source(split).in_order(setup.world.rank, setup.world.size)
        orders = batched(split, items, setup.recipe.valid_batch_size)
        batches = Feed(setup, inputs).over(split, orders)
        device, world = setup.compute.device, setup.world
        bfloat16 = computes_in_bfloat16(setup.recipe.precision, device)
        with setup.compute.seeded(setup.seed):
            found = scores(module, batches, data.shape.classes, world, device, bfloat16=bfloat16)
        batches.bad_images(world)
        try:
            require_finite(found["loss"], f"{split} loss")
        except DivergedError as error:
            raise RunError(f"the weights cannot be evaluated: {error}") from error
        return found


def _check_classes(inputs: Mapping[str, Any], data: ImageData) -> None:
    pairs = zip_longest(inputs["class_names"], data.class_names)
    for number, (trained, given) in enumerate(pairs):
        if trained != given:
            raise DataError(
                f"classes are numbered as in training: class {number} was {trained!r} there and "
                f"is {given!r} in the data"
            )


IMAGE_TASK: FullTask = ImageFullTask()
