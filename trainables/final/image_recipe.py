"""Settings of the full training of image networks."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from trainables.final.recipes import Count, Recipe
from trainables.stop_rules import Decay, Fraction, Positive

Natural = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Coefficient = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]

BASE_BATCH = 256
"""Images of a batch that `learning_rate` is for."""


class ImageRecipe(Recipe):
    """How an image network is trained in full; the defaults are the paper's for ImageNet.

    Attributes:
        epochs: Epochs of the training; at least 2, since the last one has learning rate 0.
        batch_size: Images of a step, all processes together.
        valid_batch_size: Images of a validation step in one process.
        optimiser: `rmsprop_tf`: RMSProp as TensorFlow has it, decay 0.9, momentum 0.9, epsilon 1
            inside the root; `sgd`: Nesterov's momentum 0.9.
        learning_rate: For a batch of 256 images; proportional to `batch_size`.
        warmup_epochs: Epochs W in which the learning rate rises linearly; W is the first with all
            of it. From there it falls as a half cosine, to 0 in the last epoch.
        ema_decay: Decay of the moving average of the weights, which is what is validated and
            shipped; None for none.
        label_smoothing: Share of the target that all classes get alike.
        l2: Adds l2 * sum(w^2) over all kernels but depthwise ones.
        precision: `bfloat16` computes convolutions and linear layers in that, with weights in
            float32; `auto` does so on GPUs that have it.
        train_per_class: Training images of each class; None for all.
        valid_per_class: Validation images of each class; None for all.
        image_size: Height and width that images kept in memory are brought to when they are read;
            None for the network's, or with `crop_area` for the images' own.
        stream: Whether a Parquet set is read again in each epoch instead of kept in memory; None
            does so where its images would take more than a quarter of the machine's memory.
        shuffle_window: Images of a stream among which the next ones are drawn.
        max_bad_fraction: Part of a split's images that may be impossible to decode.
        crop_area: Least and largest part of a training image that a random crop keeps before it
            is resized to the network's input; None for no such crop.
        crop_aspect: Least and largest width / height of that crop.
        crop_padding: Pixels of black border from which a random part of the input's size is
            cut; 0 for none.
        flip: Whether half of the training images are mirrored left to right.
        colour_jitter: Largest change of brightness, contrast and saturation, as a factor.
        hue_jitter: Largest change of the hue, in turns of the colour circle.
        jitter_above: Colours change only for network inputs larger than so many pixels.
        erasing: Probability that a rectangle of a training image becomes noise.
        erasing_side: Least and largest height and width of it, as parts of the image's.
        crop: Central part of height and width that is kept for evaluation.
        mean: Mean of the channels, pixels in [0, 1]: one for all or one for each; None for that
            of the training images.
        std: Standard deviation of the channels, likewise.
    """

    task: ClassVar[str] = "image"

    epochs: Count = 300
    batch_size: Count = 256
    valid_batch_size: Count = 256
    optimiser: Literal["rmsprop_tf", "sgd"] = "rmsprop_tf"
    learning_rate: Positive = 0.1
    warmup_epochs: Natural = 10
    ema_decay: Decay | None = 0.999
    label_smoothing: Decay = 0.1
    l2: Coefficient = 4e-5
    precision: Literal["auto", "bfloat16", "float32"] = "auto"

    train_per_class: Count | None = None
    valid_per_class: Count | None = None
    image_size: Count | None = None
    stream: bool | None = None
    shuffle_window: Count = 8192
    max_bad_fraction: Decay = 0.0

    crop_area: tuple[Share, Share] | None = (0.75, 1.0)
    crop_aspect: tuple[Positive, Positive] = (0.75, 1.33)
    crop_padding: Natural = 0
    flip: bool = True
    colour_jitter: Fraction = 0.4
    hue_jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    jitter_above: Natural = 96
    erasing: Fraction = 0.5
    erasing_side: tuple[Share, Share] = (0.08, 1.0)
    crop: Share = 0.875
    mean: Annotated[tuple[Finite, ...], Field(min_length=1)] | None = (0.5,)
    std: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = (0.5,)

    @model_validator(mode="after")
    def _settings_agree(self) -> ImageRecipe:
        if self.epochs < 2:
            raise ValueError(
                f"epochs is at least 2, since the last one has learning rate 0, got {self.epochs}"
            )
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs is less than epochs, got {self.warmup_epochs} and {self.epochs}"
            )
        for name in ("crop_area", "crop_aspect", "erasing_side"):
            span = getattr(self, name)
            if span is not None and span[0] > span[1]:
                raise ValueError(f"{name} is a least and a largest value, got {span}")
        return self

    def learning_rate_in(self, epoch: int) -> float:
        """Learning rate of `epoch`, counted from 1."""
        peak = self.learning_rate * self.batch_size / BASE_BATCH
        if epoch < self.warmup_epochs:
            return peak * epoch / self.warmup_epochs
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return peak / 2 * (1 + math.cos(math.pi * done))
