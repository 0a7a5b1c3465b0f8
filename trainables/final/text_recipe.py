"""How language models are trained in full."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from autoshrink_ray.records import Natural
from trainables.batches import Jitter
from trainables.final.recipes import Recipe
from trainables.stop_rules import Count, Fraction, Positive

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TextRecipe(Recipe):
    """SGD, and averaged SGD once the validation loss stays (AWD-LSTM's rule), in float32.

    The defaults are those of ShrinkRNN on the Penn Treebank. The dropouts belong to the network
    (`search_spaces.rnn.RnnMacro`).

    Attributes:
        epochs: Epochs at most.
        rollbacks: See `Recipe`.
        release: See `Recipe`.
        batch_size: Columns of the training text, over all processes together.
        valid_batch_size: Columns of the validation text, and of the training text when that is
            evaluated.
        test_batch_size: Columns of the test text.
        bptt: Rows of a training segment on average, over which gradients flow back.
        half_length_probability: Share of segments that are half as long on average.
        bptt_jitter: Standard deviation of a segment's length; 0 for none.
        shortest_segment: Least rows of a segment, but for the last one of an epoch.
        longest_extra: Rows by which a segment may exceed `bptt`.
        learning_rate: SGD's for a segment of `bptt` rows; proportionally more or less for
            another one.
        patience_to_average: Averaging starts after the first epoch whose validation loss is not
            below the least one of all epochs before it but the last so many.
        weight_decay: Factor by which a weight enters its gradient.
        clip: Largest norm of the gradient.
        temporal_regularisation: Factor of the mean squared change of the output, before its
            dropout, from word to word.
        embedding_range: Embeddings start uniform between minus and plus this.
    """

    task: ClassVar[str] = "text"

    epochs: Count = 3000
    rollbacks: Natural = 10
    release: Literal["best", "last"] = "best"
    batch_size: Count = 64
    valid_batch_size: Count = 10
    test_batch_size: Count = 1
    bptt: Count = 35
    half_length_probability: Fraction = 0.05
    bptt_jitter: NotNegative = 5.0
    shortest_segment: Count = 5
    longest_extra: Natural = 20
    learning_rate: Positive = 20.0
    patience_to_average: Natural = 5
    weight_decay: NotNegative = 8e-7
    clip: Positive = 0.25
    temporal_regularisation: NotNegative = 1e-3
    embedding_range: Positive = 0.04

    @model_validator(mode="after")
    def _segments_can_be_bptt_long(self) -> TextRecipe:
        if self.shortest_segment > self.bptt:
            raise ValueError(
                f"shortest_segment is at most bptt, got {self.shortest_segment} and {self.bptt}"
            )
        return self

    @property
    def jitter(self) -> Jitter:
        """How the segments' lengths vary."""
        return Jitter(self.bptt_jitter, self.shortest_segment, self.bptt + self.longest_extra)
