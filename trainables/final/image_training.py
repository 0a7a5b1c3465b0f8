"""An image network in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from autoshrink_ray.errors import FileFormatError
from autoshrink_ray.files import explain
from autoshrink_ray.seeds import derive_seed
from search_spaces.build import build
from trainables.final.averages import WeightAverage
from trainables.final.contracts import EVER_THE_SAME_SUMS, Setup, State
from trainables.final.image_recipe import ImageRecipe
from trainables.final.image_scores import computes_in_bfloat16, scores
from trainables.final.inputs.feeding import Feed, Prepared
from trainables.final.inputs.orders import batched, training_orders
from trainables.final.inputs.sources import ImageData
from trainables.final.inputs.transforms import training_transform
from trainables.final.optimisers import optimiser, optimiser_tensors, restore_optimiser
from trainables.final.weights import load_weights
from trainables.measure import require_finite

_CHECK_EVERY = 100
"""Steps after which the processes see whether they still compute with numbers: it costs a wait."""


class _Position(BaseModel, frozen=True, extra="forbid"):
    """How far a training is."""

    epochs_done: int = Field(ge=0)
    average_updates: int | None = Field(ge=0)


class ImageTraining:
    """An image classifier in training; see `trainables.final.contracts.Training`.

    Each process trains on its share of every batch; gradients are means over the whole batch.
    Batch normalisation sees a process's share alone, and its running averages become their mean
    over the processes after each epoch.

    Args:
        setup: Network, recipe and data; the data are an `ImageData`.
        inputs: How images are prepared; see `FullTask.inputs`.

    Raises:
        ConfigError: If the processes cannot have equally many images of a batch.
    """

    def __init__(self, setup: Setup, inputs: Mapping[str, Any]) -> None:
        recipe: ImageRecipe = setup.recipe
        data: ImageData = setup.data
        recipe.local_batch(setup.world.size)  # refuses what cannot be shared out
        self._setup, self._recipe, self._data = setup, recipe, data
        self._compute, self._world = setup.compute, setup.world
        size = (data.shape.height, data.shape.width)
        self._feed = Feed(setup, inputs, training_transform(recipe, size))
        self._network = self._untrained()
        self._average = (
            None if recipe.ema_decay is None else WeightAverage(self._network, recipe.ema_decay)
        )
        self._parallel = self._averaging_gradients()
        self._optimizer = optimiser(self._network, recipe)
        self._bfloat16 = computes_in_bfloat16(recipe.precision, setup.compute.device)
        self.epochs_done = 0

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epochs_done >= self._recipe.epochs

    def run_epoch(self, attempt: int) -> dict[str, float]:
        """Trains one epoch and validates; see `Training.run_epoch`.

        Returns:
            Beside what the contract asks for, `bad_images`, where there were some: images of both
            splits that could not be decoded.

        Raises:
            DataError: If more images cannot be decoded than the recipe allows.
        """
        epoch, rank = self.epochs_done + 1, self._world.rank
        seed = derive_seed(self._setup.seed, "epoch", epoch, attempt, rank)
        rate = self._recipe.learning_rate_in(epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with self._compute.seeded(seed):
            training_loss, bad = self._train_epoch(epoch, attempt)
            self._share_buffers()
            found, bad_valid = self._validate()
        require_finite(found["loss"], f"epoch {epoch}: validation loss")
        self.epochs_done = epoch
        metrics = {
            "training_loss": training_loss,
            "loss": found["loss"],
            "accuracy": found["accuracy"],
            "learning_rate": rate,
        }
        bad += bad_valid
        return metrics | ({"bad_images": float(bad)} if bad else {})

    def state(self) -> State:
        """What `restore` needs, as copies on the CPU."""
        tensors = _copies("network.", self._network.state_dict())
        tensors |= _copies("optimiser.", optimiser_tensors(self._optimizer))
        updates = None
        if self._average is not None:
            tensors |= _copies("average.", dict(self._average.module.named_parameters()))
            updates = self._average.updates
        position = _Position(epochs_done=self.epochs_done, average_updates=updates)
        return State(tensors, position.model_dump(mode="json"))

    def restore(self, state: State) -> None:
        """Goes on from `state`; see `Training.restore`."""
        try:
            position = _Position.model_validate(dict(state.values))
        except ValidationError as error:
            raise FileFormatError(
                f"the checkpoint is no image network's: {explain(error)}"
            ) from error
        if (position.average_updates is None) != (self._average is None):
            raise FileFormatError("the checkpoint has averages where its recipe has ema_decay")
        load_weights(self._network, _part("network.", state.tensors), "the checkpoint's weights")
        restore_optimiser(self._optimizer, _part("optimiser.", state.tensors))
        if self._average is not None and position.average_updates is not None:
            averages = _part("average.", state.tensors) | dict(self._network.named_buffers())
            load_weights(self._average.module, averages, "the checkpoint's averages")
            self._average.updates = position.average_updates
        self.epochs_done = position.epochs_done

    def weights(self) -> dict[str, Tensor]:
        """Copies of the averaged weights, or of the last ones if the recipe averages none."""
        return _copies("", self._shipped.state_dict())

    @property
    def _shipped(self) -> nn.Module:
        return self._network if self._average is None else self._average.module

    def _untrained(self) -> Any:
        with self._compute.seeded(derive_seed(self._setup.seed, "weights")):
            module = build(self._setup.network)
        return module.to(device=self._compute.device, memory_format=torch.channels_last)

    def _averaging_gradients(self) -> nn.Module:
        network: nn.Module = self._network
        if self._world.size == 1:
            return network
        device = self._compute.device
        return DistributedDataParallel(
            network,
            device_ids=[device] if device.type == "cuda" else None,
            broadcast_buffers=False,  # once an epoch is enough, see _share_buffers
            **EVER_THE_SAME_SUMS,
        )

    def _train_epoch(self, epoch: int, attempt: int) -> tuple[float, int]:
        """Trains on all batches once; the mean loss before each step, and damaged images."""
        orders = training_orders(
            self._data.train, self._recipe, self._setup.seed, epoch, attempt, self._world
        )
        batches = self._feed.over("train", orders)
        totals = torch.zeros(2, dtype=torch.float64, device=self._compute.device)
        self._network.train()
        for step, batch in enumerate(batches, start=1):
            totals += self._step(batch)
            if step % _CHECK_EVERY == 0:
                self._mean(totals, f"epoch {epoch}, step {step}: training loss")
        loss = self._mean(totals, f"epoch {epoch}: training loss")
        return loss, batches.bad_images(self._world)

    def _step(self, batch: Prepared) -> Tensor:
        """One update; summed loss, without the L2 term, and number of this process's images."""
        # Anew in each step: autocast remembers the rounded weights until it is left.
        with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=self._bfloat16):
            logits = self._parallel(batch.images)
        losses = F.cross_entropy(
            logits.float(),
            batch.labels,
            reduction="none",
            label_smoothing=self._recipe.label_smoothing,
        )
        loss = (losses * batch.weights).sum()
        self._optimizer.zero_grad()
        # By the batch's size, damaged images included: so the processes' means are one.
        torch.autograd.backward(loss / len(losses))
        self._optimizer.step()
        if self._average is not None:
            self._average.update(self._network)
        return torch.stack([loss.detach(), batch.weights.sum()])

    def _mean(self, totals: Tensor, place: str) -> float:
        """Mean over the processes' images, so that all of them see that one diverged."""
        loss, images = self._world.sum(totals.clone()).tolist()
        return require_finite(loss / max(1, images), place)

    @torch.no_grad()
    def _share_buffers(self) -> None:
        """Running averages of batch normalisation become those of all processes' images."""
        for buffer in self._network.buffers():
            if self._world.size > 1 and buffer.is_floating_point():
                self._world.sum(buffer).div_(self._world.size)
        if self._average is not None:
            self._average.take_buffers(self._network)

    def _validate(self) -> tuple[dict[str, float], int]:
        """Scores of the weights to ship, and damaged images."""
        items = self._data.valid.in_order(self._world.rank, self._world.size)
        orders = batched("valid", items, self._recipe.valid_batch_size)
        batches = self._feed.over("valid", orders)
        found = scores(
            self._shipped,
            batches,
            self._data.shape.classes,
            self._world,
            self._compute.device,
            bfloat16=self._bfloat16,
        )
        return found, batches.bad_images(self._world)


def _copies(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        prefix + name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in tensors.items()
    }


def _part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
