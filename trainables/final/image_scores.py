"""What an image network reaches on a pass over images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from trainables.final.contracts import World
from trainables.final.inputs.feeding import Prepared

_TOP = 5
"""A prediction counts for `top5_accuracy` if the right class is among so many."""


def computes_in_bfloat16(
    precision: Literal["auto", "bfloat16", "float32"], device: torch.device
) -> bool:
    """Whether a network computes in bfloat16 on `device`; see `ImageRecipe.precision`."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "bfloat16"


def scores(
    module: nn.Module,
    batches: Iterable[Prepared],
    classes: int,
    world: World,
    device: torch.device,
    *,
    bfloat16: bool,
) -> dict[str, float]:
    """Means over the images of all processes' batches; puts the module into evaluation mode.

    Args:
        module: (B, C, H, W) to logits (B, classes).
        batches: This process's share of the images.
        classes: Number of classes.
        world: The processes; each has to call this.
        device: Where the batches are.
        bfloat16: Whether convolutions and linear layers compute in that.

    Returns:
        `loss` (cross entropy, possibly not finite), `accuracy`, and where there are more than 5
        classes `top5_accuracy`.
    """
    module.eval()
    totals = torch.zeros(4, dtype=torch.float64, device=device)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        for batch in batches:
            logits = module(batch.images).float()
            losses = F.cross_entropy(logits, batch.labels, reduction="none")
            first = logits.argmax(dim=1) == batch.labels
            best = logits.topk(min(_TOP, classes), dim=1).indices
            among = (best == batch.labels[:, None]).any(dim=1)
            parts = (losses, first, among, torch.ones_like(losses))
            totals += torch.stack([(part * batch.weights).sum() for part in parts])
    loss, right, right_among, images = world.sum(totals).tolist()
    images = max(1, images)  # none, if all of them are damaged
    means = {"loss": loss / images, "accuracy": right / images}
    return means | ({"top5_accuracy": right_among / images} if classes > _TOP else {})
