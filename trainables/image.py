"""The image proxy task: trains a classifier for a few epochs and measures its accuracy."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Protocol, cast

import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from autoshrink_ray import plugins
from autoshrink_ray.contracts import DataRequest, SearchSpace, Settings
from autoshrink_ray.errors import DataError
from autoshrink_ray.records import Measurement, Natural
from autoshrink_ray.seeds import derive_seed
from autoshrink_ray.topology import Topology
from trainables.batches import EndlessShuffle, as_tensor
from trainables.data import ImageSet
from trainables.device import Compute, machine
from trainables.measure import Progress, measure, require_finite
from trainables.stop_rules import Count, ImageEpoch, ImageStopRules, MovingAverage, Positive

_WHITE = 255
"""Largest value of a pixel."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Coefficient = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ImageProxy(ImageStopRules):
    """Settings of the image proxy task; the defaults are the original search's.

    Attributes:
        batch_size: Images B of a training step.
        valid_batch_size: Images of a validation step.
        learning_rate: Adam's, constant.
        train_per_class: Training images of each class; None for all.
        valid_per_class: Validation images of each class; None for all.
        data_dir: Folder of data sets that have to be downloaded.
        image_size: Height and width that images are brought to; None for their own.
        mean: Mean of each channel, pixels in [0, 1]; None for that of the training images.
        std: Standard deviation of each channel; None for that of the training images.
        l2: Adds l2 * sum(w^2) over convolution and classifier kernels, depthwise ones left out.
        l2_projection: The same for the kernels of residual projections.
        seed: Seed of the choice of images, the same for every candidate.
        deterministic: Whether only algorithms are used that always give the same bits.
    """

    paths: ClassVar[frozenset[str]] = frozenset({"data_dir"})

    batch_size: Count = 128
    valid_batch_size: Count = 100
    learning_rate: Positive = 4e-3
    train_per_class: Count | None = 500
    valid_per_class: Count | None = 100
    data_dir: str | None = None
    image_size: Count | None = None
    mean: tuple[Finite, ...] | None = None
    std: tuple[Positive, ...] | None = None
    l2: Coefficient = 1e-5
    l2_projection: Coefficient = 4e-5
    seed: Natural = 0
    deterministic: bool = True


class ImageNetwork(Protocol):
    """What this task asks of the modules that a space builds, beside being an `nn.Module`."""

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to logits (B, classes)."""
        ...

    def parameters_by_role(self) -> dict[str, list[nn.Parameter]]:
        """All parameters under `kernel`, `depthwise`, `projection` or `other`."""
        ...


class DeviceImages:
    """A split of a data set on a device: bytes, which become numbers batch by batch.

    Args:
        images: uint8 of shape (N, H, W, C).
        labels: int64 of shape (N,).
        mean: Mean of each channel, pixels in [0, 1].
        std: Standard deviation of each channel.
        device: Where it lives. On the CPU it shares the arrays' memory.
    """

    def __init__(
        self,
        images: npt.NDArray[Any],
        labels: npt.NDArray[Any],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
    ) -> None:
        self._images = as_tensor(images).to(device)
        self._labels = as_tensor(labels).to(device)
        # (pixel / 255 - mean) / std as one multiplication and one addition
        self._factor = torch.tensor([1 / (_WHITE * s) for s in std], device=device)
        self._offset = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, which: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Normalised images (B, C, H, W), channels last in memory, and their labels (B,)."""
        pixels = self._images[which].to(torch.float32).mul_(self._factor).add_(self._offset)
        return pixels.permute(0, 3, 1, 2), self._labels[which]


def adam(network: ImageNetwork, proxy: ImageProxy) -> torch.optim.Adam:
    """The optimiser, with the L2 terms as its weight decay.

    The gradient of coefficient * sum(w^2) is 2 * coefficient * w, hence the factor 2.
    """
    roles = network.parameters_by_role()
    groups = [
        {"params": roles["kernel"], "weight_decay": 2 * proxy.l2},
        {"params": roles["projection"], "weight_decay": 2 * proxy.l2_projection},
        {"params": roles["depthwise"] + roles["other"], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.Adam(groups, lr=proxy.learning_rate, fused=True)


class ImageEvaluator:
    """Trains image networks one after the other on data that stays on the device."""

    def __init__(
        self, space: SearchSpace, macro: Any, proxy: ImageProxy, data: ImageSet, compute: Compute
    ) -> None:
        self._space = space
        self._macro = macro
        self._proxy = proxy
        self._shape = data.shape
        self._compute = compute
        statistics = standardisation(proxy, data)
        device = compute.device
        self._train = DeviceImages(data.train_images, data.train_labels, *statistics, device)
        self._valid = DeviceImages(data.valid_images, data.valid_labels, *statistics, device)

    def evaluate(self, topology: Topology, seed: int) -> Measurement:
        """Trains `topology` from scratch; see `autoshrink_ray.contracts.Evaluator`."""
        return measure(self._compute, seed, lambda progress: self._run(topology, seed, progress))

    def _run(self, topology: Topology, seed: int, progress: Progress) -> None:
        cost = self._space.cost(topology, self._macro, self._shape)
        module = self._space.build(topology, self._macro, self._shape)
        module.to(device=self._compute.device, memory_format=torch.channels_last)
        optimizer = adam(module, self._proxy)
        shuffle_seed = derive_seed(seed, "shuffle")
        shuffle = EndlessShuffle(len(self._train), shuffle_seed, self._compute.device)
        history: list[ImageEpoch] = []
        while not progress.stop_reason:
            progress.epochs += 1
            training_loss = self._train_epoch(module, optimizer, shuffle, progress.epochs)
            accuracy, loss = self._validate(module)
            require_finite(loss, f"epoch {progress.epochs}: validation loss")
            progress.curve.append(accuracy)
            history.append(ImageEpoch(accuracy, loss, training_loss))
            progress.stop_reason = self._proxy.stop_reason(history)
        best = max(history, key=lambda epoch: epoch.accuracy)
        progress.metrics = {"accuracy": best.accuracy, "loss": best.loss, **cost}

    def _train_epoch(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        shuffle: EndlessShuffle,
        epoch: int,
    ) -> float:
        """Trains until the epoch ends or has converged; the moving average of training loss."""
        average_loss = MovingAverage(self._proxy.average_decay)
        average_accuracy = MovingAverage(self._proxy.average_decay)
        module.train()
        for step in range(1, math.ceil(len(self._train) / self._proxy.batch_size) + 1):
            images, labels = self._train.batch(shuffle.draw(self._proxy.batch_size))
            loss, accuracy = _training_step(module, optimizer, images, labels)
            average_loss.update(require_finite(loss, f"epoch {epoch}, step {step}: training loss"))
            if average_accuracy.update(accuracy) > self._proxy.converged_accuracy:
                break
        return average_loss.value

    @torch.inference_mode()
    def _validate(self, module: nn.Module) -> tuple[float, float]:
        """Accuracy and mean loss over all validation images."""
        module.eval()
        total = torch.zeros(2, device=self._compute.device)
        size = self._proxy.valid_batch_size
        for start in range(0, len(self._valid), size):
            images, labels = self._valid.batch(slice(start, start + size))
            logits = module(images)
            loss = F.cross_entropy(logits, labels, reduction="sum")
            total += torch.stack([_correct(logits, labels).sum(), loss])
        correct, loss = total.tolist()
        return correct / len(self._valid), loss / len(self._valid)


def _training_step(
    module: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> tuple[float, float]:
    """One update; loss (without the L2 terms) and accuracy of the batch before it."""
    logits = module(images)
    loss = F.cross_entropy(logits, labels)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    both = torch.stack([loss.detach(), _correct(logits, labels).mean()])
    return cast(tuple[float, float], tuple(both.tolist()))  # the step's only wait for the device


def _correct(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == labels).float()


def standardisation(
    proxy: ImageProxy, data: ImageSet
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel: the settings', else the data's.

    Raises:
        DataError: If the settings have another number of channels than the images.
    """
    for name, values in (("mean", proxy.mean), ("std", proxy.std)):
        if values is not None and len(values) != data.shape.channels:
            raise DataError(
                f"{name} has one value for each channel of the images: "
                f"{data.shape.channels}, got {len(values)}: {values}"
            )
    return proxy.mean or data.mean, proxy.std or data.std


class ImageTask:
    """Trains image classifiers and measures their validation accuracy.

    Modules have to be an `ImageNetwork`.
    """

    objective = "accuracy"
    Proxy: type[Settings] = ImageProxy

    def machine(self, *, gpu: bool) -> tuple[str, str] | None:
        """What trains here; see `autoshrink_ray.contracts.ProxyTask`."""
        return machine(gpu=gpu)

    def load(
        self, request: DataRequest, space: SearchSpace, macro: Any, proxy: ImageProxy
    ) -> ImageSet:
        """Reads and checks the proxy subset.

        Raises:
            DataError: With the file, the rule and the value.
        """
        data = plugins.dataset(request.name)(request)
        if not isinstance(data, ImageSet):
            raise DataError(
                f"the image task trains on images, got {request.spec!r}: {data.summary}"
            )
        standardisation(proxy, data)
        return data

    def evaluator(
        self,
        space: SearchSpace,
        macro: Any,
        proxy: ImageProxy,
        data: ImageSet,
        *,
        threads: int,
        gpu: bool,
    ) -> ImageEvaluator:
        """Prepares a worker; see `autoshrink_ray.contracts.ProxyTask`."""
        compute = Compute.available(threads=threads, gpu=gpu, deterministic=proxy.deterministic)
        return ImageEvaluator(space, macro, proxy, data, compute)


TASK = ImageTask()
