"""Where the images of a split are: in memory, or one in each file of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from autoshrink_ray.contracts import ImageShape
from autoshrink_ray.errors import DataError
from autoshrink_ray.storage import Folder, join
from trainables.batches import as_tensor
from trainables.data.assemble import picture
from trainables.data.sets import Labels, Pixels


class Item(NamedTuple):
    """One image that somebody wants.

    Attributes:
        position: Number of the image in its split.
        label: Class number.
        seed: Start of the random choices of its augmentation; None for none.
        content: The encoded image where it comes along, as in a stream.
    """

    position: int
    label: int
    seed: int | None = None
    content: bytes | None = None


class Reader(Protocol):
    """Decodes images; it can be handed to another process of this machine."""

    def __call__(self, item: Item) -> Tensor:
        """uint8 of shape (C, H, W), C being the network's.

        Raises:
            DataError: If the image is damaged, or in colour where the network takes gray ones.
        """
        ...


class Source(Protocol):
    """A split of a data set, wherever it is."""

    @property
    def place(self) -> str:
        """What error messages call it."""
        ...

    def __len__(self) -> int:
        """Images of the split."""
        ...

    def in_order(self, rank: int, size: int) -> Iterator[Item]:
        """The share of process `rank` of `size`; all shares together are each image once."""
        ...

    def reader(self, channels: int, *, shared: bool) -> Reader:
        """Decodes the source's images.

        Args:
            channels: C of the network.
            shared: Whether it will be handed to other processes.
        """
        ...


@dataclass(frozen=True, eq=False)
class ListedSource:
    """A split of which any image can be read at any time.

    Attributes:
        place: What error messages call it.
        labels: int64 of shape (N,).
    """

    place: str
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def item(self, position: int, seed: int | None = None) -> Item:
        """The image at `position`."""
        return Item(position, int(self.labels[position]), seed)

    def in_order(self, rank: int, size: int) -> Iterator[Item]:
        """Every `size`-th image from number `rank` on."""
        return map(self.item, range(rank, len(self), size))


@dataclass(frozen=True, eq=False)
class MemorySource(ListedSource):
    """Decoded images.

    Attributes:
        images: uint8 of shape (N, H, W, C).
    """

    images: Pixels

    def reader(self, channels: int, *, shared: bool) -> Reader:
        """Reads this memory, or for other processes one copy that all of them share."""
        images = as_tensor(self.images).permute(0, 3, 1, 2)
        if shared:
            images.share_memory_()  # type: ignore[no-untyped-call]
        return _MemoryReader(images)


@dataclass(frozen=True)
class _MemoryReader:
    images: Tensor

    def __call__(self, item: Item) -> Tensor:
        return self.images[item.position]


@dataclass(frozen=True, eq=False)
class FolderSource(ListedSource):
    """Image files, read when they are wanted.

    Attributes:
        folder: Folder of the data set.
        files: Names below it.
    """

    folder: Folder
    files: tuple[str, ...]

    def reader(self, channels: int, *, shared: bool) -> Reader:
        """Reads and decodes one file at a time."""
        return _FileReader(self.folder, self.files, channels)


@dataclass(frozen=True)
class _FileReader:
    folder: Folder
    files: tuple[str, ...]
    channels: int

    def __call__(self, item: Item) -> Tensor:
        name = self.files[item.position]
        place = join(self.folder.location, name)
        return decoded(place, self.folder.read(name), self.channels)


def decoded(place: str, content: bytes | None, channels: int) -> Tensor:
    """An encoded image for a network that takes `channels`; gray becomes RGB where that is wanted.

    Returns:
        uint8 of shape (channels, H, W).

    Raises:
        DataError: If it is damaged, or in colour where the network takes gray ones.
    """
    found = picture(place, content)
    if isinstance(found, DataError):
        raise found
    image = torch.from_numpy(found.pixels).permute(2, 0, 1)
    if len(image) > channels:
        raise DataError(
            f"{place}: the network takes images of {channels} channel(s), got one of {len(image)}"
        )
    return image if len(image) == channels else image.expand(channels, -1, -1)


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images in two splits, and what a network gets of them.

    Attributes:
        train: Training images.
        valid: Validation images.
        class_names: Names of the classes.
        shape: What the network takes and tells apart.
        mean: Mean of each channel, pixels in [0, 1].
        std: Standard deviation of each channel.
        fingerprint: SHA-256 over what training reads. For images in memory over their pixels;
            for others over names or rows, labels and sizes in bytes.
        summary: One line for people.
    """

    train: Source
    valid: Source
    class_names: tuple[str, ...]
    shape: ImageShape
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    summary: str

    def source(self, split: str) -> Source:
        """The split called `train` or `valid`."""
        return {"train": self.train, "valid": self.valid}[split]

    def files_of_workers(self) -> list[tuple[str, str]]:
        """Folder and name of a file of each split that workers read; none for images in memory."""
        from trainables.final.inputs.streaming import TableSource

        found = []
        for source in (self.train, self.valid):
            if isinstance(source, FolderSource):
                found.append((source.folder.location, source.files[0]))
            elif isinstance(source, TableSource):
                found.append((source.folder.location, source.name))
        return found

    def ray_datasets(self) -> dict[str, Any]:
        """What `TorchTrainer(datasets=...)` has to get; empty unless the data are streamed.

        Call it on the driver, right before the trainer is made: it also asks Ray Data to keep
        the order of rows.
        """
        from trainables.final.inputs.streaming import TableSource, ray_dataset

        if not isinstance(self.train, TableSource):
            return {}
        return {"train": ray_dataset(self.train)}
