"""Keeping the codebooks of several training processes equal: sums over all, random draws from the first."""

import torch
from torch import Tensor
from torch import distributed as dist


def _many() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def process_number() -> int:
    """Which of the processes this is, from 0; for draws that must differ between them."""
    return dist.get_rank() if _many() else 0


def sum_over_processes(values: Tensor) -> Tensor:
    """Elementwise sum over all processes, the same everywhere."""
    if _many():
        dist.all_reduce(values)
    return values


def from_first_process(values: Tensor) -> Tensor:
    """The first process's values, everywhere."""
    if _many():
        dist.broadcast(values, src=0)
    return values


def gather_rows(values: Tensor) -> Tensor:
    """`(n, D)` of every process, stacked in rank order; n may differ between processes."""
    if not _many():
        return values
    counts = [torch.zeros(1, dtype=torch.int64, device=values.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(values)], device=values.device))
    longest = int(torch.cat(counts).max())
    padded = values.new_zeros(longest, values.shape[1])
    padded[: len(values)] = values
    stacked = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(stacked, padded)
    return torch.cat([rows[: int(count)] for rows, count in zip(stacked, counts, strict=True)])
