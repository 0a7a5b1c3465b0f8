"""Small trainings on Ray, and the same ones without it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from autoshrink_ray.storage import Folder
from search_spaces.network import NetworkFile
from tests.trainables.final.regression import Notes
from tests.trainables.final.text_support import count_up
from trainables.device import Compute
from trainables.final.checkpoints import Checkpoints
from trainables.final.config import TrainConfig, TrainPlan
from trainables.final.contracts import Setup
from trainables.final.folder import TrainingRun
from trainables.final.loop import TrainingLoop
from trainables.final.weights import read_weights

WORDS = 11
"""Vocabulary of `write_text`: ten words and the end of a line."""


def write_text(folder: Path) -> str:
    """A text that can be learnt; its data spec."""
    folder.mkdir()
    for seed, (split, length) in enumerate([("train", 400), ("valid", 100), ("test", 100)]):
        words = [f"w{number}" for number in count_up(length, seed=seed)]
        lines = (" ".join(words[i : i + 20]) for i in range(0, length, 20))
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return f"text:{folder}"


def without_ray(network: NetworkFile, config: TrainConfig, place: Path) -> dict[str, Tensor]:
    """The slow reference: the training in this process, undisturbed."""
    plan = TrainPlan.of(network, config)
    compute = Compute.available(
        threads=config.cpus_per_worker, gpu=False, deterministic=plan.recipe.deterministic
    )
    setup = Setup(network, plan.recipe, plan.load_data(), compute, seed=config.seed)
    checkpoints = Checkpoints(Folder(str(place)), plan.task.quality)
    begin = partial(plan.task.training, setup)
    return TrainingLoop(begin, checkpoints, plan.rules, Notes()).run().weights


def weights_of(run: TrainingRun) -> dict[str, Tensor]:
    return read_weights(run.weights, "the weights")[0]


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
