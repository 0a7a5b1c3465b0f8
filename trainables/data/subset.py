"""Which images of a data set a proxy task takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autoshrink_ray.seeds import shuffled
from trainables.data.sets import Labels


def choose_per_class(
    labels: Labels, per_class: int | None, seed: int, split: str
) -> npt.NDArray[np.int64]:
    """Draws `per_class` images of each class, without replacement.

    A class's draw depends on its own images' positions, the seed and the split alone, and a
    smaller draw is part of every larger one.

    Args:
        labels: Class numbers, shape (N,).
        per_class: Images of each class; a class with fewer keeps all. None keeps everything.
        seed: Determines the draw.
        split: Name of the split: different splits draw independently.

    Returns:
        Sorted positions, int64.
    """
    if per_class is None:
        return np.arange(len(labels), dtype=np.int64)
    chosen: list[int] = []
    for label in np.unique(labels).tolist():
        positions = np.flatnonzero(labels == label).tolist()
        if len(positions) > per_class:
            positions = shuffled(positions, "subset", seed, split, label)[:per_class]
        chosen += positions
    return np.array(sorted(chosen), dtype=np.int64)
