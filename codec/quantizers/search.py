"""Nearest codeword by blocks: the N x K score matrix never exists, only a block of it.

|z - e|^2 + b = |z|^2 + (|e|^2 + b - 2 z.e), so the smallest bracket wins and |z|^2 is not needed.
"""

import torch
from torch import Tensor

QUERY_ROWS = (
    256  # every block has this many rows, the last one filled up: one kernel shape, so codes do not depend on the batch
)
CODE_ROWS = 8192
GROUP = 128  # scores compared without their indices, which is ten times faster


@torch.no_grad()
def nearest(z: Tensor, codebook: Tensor, bias: Tensor | None = None) -> Tensor:
    """Index of the codeword with the smallest squared distance plus bias; the lowest index wins a tie.

    Args:
        z: `(N, D)`.
        codebook: `(K, D)`.
        bias: `(K,)` cost added to each codeword, in units of squared distance.

    Returns:
        int64 `(N,)`.
    """
    if z.ndim != 2 or codebook.ndim != 2 or z.shape[1] != codebook.shape[1]:
        raise ValueError(
            f"expected (N, D) queries and a (K, D) codebook, got {tuple(z.shape)} and {tuple(codebook.shape)}"
        )
    with torch.autocast(z.device.type, enabled=False):
        e = codebook.float()
        cost = e.square().sum(1)
        if bias is not None:
            cost = cost + bias.float()
        blocks = [_nearest_block(block, e, cost) for block in z.float().split(QUERY_ROWS)]
    return torch.cat(blocks) if blocks else z.new_empty(0, dtype=torch.int64)


def _nearest_block(z: Tensor, e: Tensor, cost: Tensor) -> Tensor:
    count = z.shape[0]
    if count < QUERY_ROWS:
        z = torch.cat([z, z.new_zeros(QUERY_ROWS - count, z.shape[1])])
    best = z.new_full((z.shape[0],), torch.inf)
    index = torch.zeros(z.shape[0], dtype=torch.int64, device=z.device)
    for first in range(0, e.shape[0], CODE_ROWS):
        rows = slice(first, first + CODE_ROWS)
        score, winner = _row_minima(torch.addmm(cost[rows], z, e[rows].T, alpha=-2))
        index = torch.where(score < best, winner + first, index)
        best = torch.minimum(score, best)
    return index[:count]


def _row_minima(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest entry of each row of `(N, K)` and the first place where it stands: first the group, then the place in it."""
    if scores.shape[1] % GROUP:
        best, place = scores.min(1)
        return best, place
    groups = scores.unflatten(1, (-1, GROUP))
    group = groups.amin(2).min(1).indices
    best, place = groups[torch.arange(len(groups), device=groups.device), group].min(1)
    return best, group * GROUP + place
