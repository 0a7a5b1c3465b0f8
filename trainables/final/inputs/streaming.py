"""Images that are read again in each epoch from a Parquet file, by Ray Data.

What is guaranteed: each row comes at most once in an epoch, all processes take equally many, and
the same seed, files and number of processes give the same batches. The row groups come in one
order, drawn from the seed; in each epoch, rows are drawn anew from a window of rows that follow
each other there. A table whose rows are in random order to begin with is shuffled best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from torch import Tensor

from autoshrink_ray.seeds import shuffled
from autoshrink_ray.storage import Folder
from trainables.data.parquet_tables import read_group, read_groups, row_place
from trainables.final.inputs.sources import Item, Reader, decoded

_READERS = 4
"""Row groups that are read at once."""

_SEED_BITS = 32
"""NumPy's generators, which Ray Data shuffles with, are started from so many."""


@dataclass(frozen=True, eq=False)
class TableSource:
    """A split that is one Parquet file.

    Attributes:
        place: What error messages call it.
        folder: Folder of the data set.
        name: File in it.
        rows: Images of the split.
        groups: Row groups of the file, the units that are read by themselves.
        seed: Decides the order of the row groups in training.
    """

    place: str
    folder: Folder
    name: str
    rows: int
    groups: int
    seed: int

    def __len__(self) -> int:
        return self.rows

    def in_order(self, rank: int, size: int) -> Iterator[Item]:
        """Every `size`-th row group from number `rank` on."""
        for group in range(rank, self.groups, size):
            for table in read_group(self.folder, self.name, group):
                yield from _items(table)

    def reader(self, channels: int, *, shared: bool) -> Reader:
        """Decodes what comes along with the items."""
        return _RowReader(self.place, channels)


@dataclass(frozen=True)
class _RowReader:
    place: str
    channels: int

    def __call__(self, item: Item) -> Tensor:
        return decoded(row_place(self.place, item.position), item.content, self.channels)


def ray_dataset(source: TableSource) -> Any:
    """The `ray.data.Dataset` of all rows: `position`, `label`, `image` (encoded bytes).

    Ray Data's context in this process is asked to keep the order of rows, which is what makes a
    training repeatable; Ray Train hands the context on to its workers.
    """
    import ray.data

    ray.data.DataContext.get_current().execution_options.preserve_order = True
    groups = shuffled(range(source.groups), source.seed, "row groups")
    tasks = ray.data.from_items(
        [{"group": group} for group in groups], override_num_blocks=len(groups)
    )
    return tasks.map_batches(
        read_groups,
        batch_size=1,
        num_cpus=0,  # else reading waits for ever where the workers have all CPUs
        concurrency=_READERS,
        fn_kwargs={"location": source.folder.location, "name": source.name},
    )


def shard_items(*, batch_size: int, window: int, seed: int) -> Iterator[Item]:
    """This process's rows of one training epoch, from the data set that Ray Train was given.

    Args:
        batch_size: Rows come in batches of so many; those that do not fill one are left out.
        window: Rows among which the next ones are drawn.
        seed: Of those draws.
    """
    import ray.train

    shard = ray.train.get_dataset_shard("train")
    tables = shard.iter_batches(
        batch_size=batch_size,
        batch_format="pyarrow",
        local_shuffle_buffer_size=window,
        local_shuffle_seed=seed % 2**_SEED_BITS,
        drop_last=True,
    )
    for table in tables:
        yield from _items(table)


def _items(table: pa.Table) -> Iterator[Item]:
    columns = (table.column(name).to_pylist() for name in ("position", "label", "image"))
    for position, label, content in zip(*columns, strict=True):
        yield Item(position, label, None, content)
