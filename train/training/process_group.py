"""The processes that train one model together: one each a GPU, or a few on CPUs; usually this one alone."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

Value = TypeVar("Value")


class ProcessGroup:
    """This process's place among those that train one model: the first decides, reads what is kept and writes.

    Args:
        rank: this process's, from 0.
        count: how many there are; all of them call the same methods in the same order.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, items: Sequence[Value]) -> Sequence[Value]:
        """Return this process's part of the items: each is in one part."""
        return items[self.rank :: self.count]

    def from_first(self, value: Value) -> Value:
        """Return the first process's value, picklable, in all of them."""
        if self.count == 1:
            return value
        held: list[Any] = [value if self.is_first else None]
        distributed.broadcast_object_list(held, src=0)
        found: Value = held[0]
        return found

    def sum(self, numbers: Tensor) -> Tensor:
        """Return the sum of the processes' tensors."""
        if self.count > 1:
            numbers = numbers.clone()
            distributed.all_reduce(numbers)
        return numbers

    def mean(self, numbers: Sequence[float]) -> float:
        """Return the mean of the numbers of all processes, of which some may have none."""
        if self.count == 1:
            return statistics.fmean(numbers)
        total, count = self.sum(torch.tensor([sum(numbers), len(numbers)], dtype=torch.float64))
        return float(total / count)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients are the mean of all processes'; they start from the first's weights."""
        return DistributedDataParallel(module, forward_sync_buffers=False) if self.count > 1 else module


ALONE = ProcessGroup()


@contextmanager
def joined_group() -> Iterator[ProcessGroup]:
    """Join the processes that `torchrun` started with this one, as its environment variables say, if it did."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        backend = "cpu:gloo,cuda:nccl"
    store, rank, count = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    # torchrun keeps its store over a restart, with the addresses of the processes that are gone
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = distributed.PrefixStore(attempt, store)  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield ProcessGroup(rank, count)
    finally:
        distributed.destroy_process_group()
