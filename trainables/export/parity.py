"""Whether an exported file computes what the torch network computes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autoshrink_ray.errors import RunError
from trainables.export.card import Parity
from trainables.export.unit import Runner, Tensors, Unit


def check_parity(
    unit: Unit, run: Runner, sequences: Sequence[Sequence[Tensor]], tolerance: float, runtime: str
) -> Parity:
    """Runs real inputs through both and compares all outputs, the carried state included.

    float32 rounds in proportion, so where outputs exceed 1 the tolerance is a share of the largest.

    Args:
        unit: The torch network.
        run: The exported file.
        sequences: Real inputs; see `trainables.export.unit.sequences`.
        tolerance: Largest absolute difference that is allowed.
        runtime: What `run` is, for the record.

    Raises:
        RunError: If a difference is larger, an output is not finite or has another shape.
    """
    differences: list[Tensor] = []
    outputs: list[Tensor] = []
    same: list[bool] = []
    for sequence in sequences:
        state = other = unit.state(len(sequence[0]))
        for step in sequence:
            expected, got = unit((step, *state)), run((step, *other))
            differences.append(_largest_difference(unit, expected, got))
            outputs.extend(tensor.abs().max() for tensor in expected)
            same.append(bool((expected[0].argmax(-1) == got[0].argmax(-1)).all()))
            state, other = expected[1:], got[1:]
    largest = float(torch.stack(differences).max())  # keeps NaN, as Python's max does not
    largest_output = float(torch.stack(outputs).max())
    allowed = tolerance * max(1.0, largest_output)
    if not (largest <= allowed and math.isfinite(largest_output)):
        raise RunError(
            f"the exported file does not compute what the network does: the largest difference "
            f"on real inputs is {largest:.3g}, allowed is {allowed:.3g} (tolerance {tolerance:g}, "
            f"largest output {largest_output:.3g}); nothing was written"
        )
    return Parity(
        runtime=runtime,
        inputs=_count(sequences),
        batch_sizes=tuple(sorted({len(step) for sequence in sequences for step in sequence})),
        largest_difference=largest,
        largest_output=largest_output,
        tolerance=tolerance,
        same_predictions=all(same),
    )


def _largest_difference(unit: Unit, expected: Tensors, got: Tensors) -> Tensor:
    for name, ours, theirs in zip(unit.output_names, expected, got, strict=True):
        if ours.shape != theirs.shape:
            raise RunError(
                f"the exported file's {name} has shape {tuple(theirs.shape)}, the network's "
                f"{tuple(ours.shape)}; nothing was written"
            )
    pairs = zip(expected, got, strict=True)
    return torch.stack([(ours - theirs).abs().max() for ours, theirs in pairs]).max()


def _count(sequences: Sequence[Sequence[Tensor]]) -> int:
    return sum(len(step) for sequence in sequences for step in sequence)
