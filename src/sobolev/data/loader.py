"""Batches drawn by one index each from tensors in memory, shared among processes by ourselves."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class EpochBatches:
    """The row numbers of each batch of one epoch, on one process of several.

    All processes draw the same order from (seed, epoch), cut it into the same number of batches, and each takes
    its part of every batch: over all processes each row comes once per epoch, and none waits for another. A
    remainder of fewer rows than processes joins the batch before it.

    Args:
        rows: how many rows there are.
        batch_size: rows in a batch of one process.
        shuffle: a new order each epoch; otherwise the rows' own order.
        seed: the order depends on this and on the epoch alone.
        rank: the number of this process.
        world_size: how many processes there are.

    Raises:
        ValueError: fewer rows than processes; a batch size below 1.
    """

    def __init__(
        self, rows: int, batch_size: int, shuffle: bool, seed: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it is 1 or more")
        if rows < world_size:
            raise ValueError(
                f"{rows} row(s) cannot be shared among {world_size} processes; give more rows or use fewer processes"
            )
        self.rows, self.shuffle, self.seed, self.epoch = rows, shuffle, seed, 0
        self.rank, self.world_size = rank, world_size
        starts = list(range(0, rows, batch_size * world_size))
        if rows - starts[-1] < world_size:
            del starts[-1]
        self._bounds = [*(starts or [0]), rows]

    @property
    def sampler(self) -> "EpochBatches":
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; Lightning calls this before each epoch, resumed ones included."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def __iter__(self) -> Iterator[Int64[Tensor, " rows"]]:
        order = self.order()
        for start, stop in zip(self._bounds, self._bounds[1:], strict=False):
            first, last = (start + (stop - start) * (self.rank + i) // self.world_size for i in (0, 1))
            yield order[first:last]

    def order(self) -> Int64[Tensor, "{self.rows}"]:
        """The order of the rows in this epoch, the same on every process."""
        if not self.shuffle:
            return torch.arange(self.rows)
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % (1 << 63))
        return torch.randperm(self.rows, generator=generator)


class BatchLoader:
    """An iterable of batches, tuples of tensors with the same rows.

    It is no torch DataLoader, so that Lightning leaves the sharding to it: Lightning's own sampler would repeat
    rows to fill up the last batch. With workers, torch's DataLoader fetches the same batches in the background.

    Args:
        tensors: tensors of equal length; they stay on the device where they are.
        batches: the row numbers of each batch.
        num_workers: processes that fetch batches. Tensors in memory need none.
    """

    def __init__(self, tensors: Sequence[Tensor], batches: EpochBatches, num_workers: int = 0) -> None:
        self.tensors, self.batch_sampler, self.num_workers = tuple(tensors), batches, num_workers
        self._workers: DataLoader[Any] | None = None

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def replace(self, tensors: Sequence[Tensor]) -> None:
        """Go on with other tensors of the same rows, in another precision say."""
        self.tensors, self._workers = tuple(tensors), None

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        if self.num_workers:
            yield from self._fetched()
            return
        device = self.tensors[0].device
        for rows in self.batch_sampler:
            rows = rows.to(device)
            yield tuple(tensor[rows] for tensor in self.tensors)

    def _fetched(self) -> Iterator[tuple[Tensor, ...]]:
        if self._workers is None:
            self._workers = DataLoader(
                _Rows(self.tensors),
                sampler=self.batch_sampler,  # type: ignore[arg-type]
                batch_size=None,
                num_workers=self.num_workers,
                persistent_workers=True,
                generator=torch.Generator(),  # the global generator is the model's
            )
        return iter(self._workers)


class _Rows(Dataset[tuple[Tensor, ...]]):
    """Many rows per index."""

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = tensors

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor[rows] for tensor in self.tensors)
