"""Batches without end, of which each is a function of the seed and its number alone, so that resuming is exact."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TypeVar

from torch.utils.data import IterableDataset, get_worker_info

Batch = TypeVar("Batch")


class Endless(IterableDataset[Batch], ABC):
    """A data set of numbered batches; every process, and every worker of its loader, takes other numbers.

    Args:
        first_batch: where to begin, the number of batches already trained on by this process.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(self, first_batch: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.first_batch, self.rank, self.world_size = first_batch, rank, world_size

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        step = worker.num_workers if worker else 1
        number = self.first_batch + (worker.id if worker else 0)
        while True:
            yield self.batch(number * self.world_size + self.rank)
            number += step

    @abstractmethod
    def batch(self, number: int) -> Batch:
        """The batch of a number, the same on every call."""
