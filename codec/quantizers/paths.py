"""Several paths through residual stages at once: the best sum of codewords is seldom the one of nearest codewords.

The M-algorithm (Anderson, Mohan 1984, "Sequential coding algorithms: a survey and cost analysis") over the stages: from every stage
on the few best sums so far go on, and the best of the last stage wins.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from codec.quantizers.blocks import by_blocks

ROWS = 16  # searched at once, always as many, so that codes do not depend on how many come together


@runtime_checkable
class Ranked(Protocol):
    """A quantizer that names more codes than the best one."""

    def ranked(self, z: Tensor, count: int) -> Tensor:
        """`(..., D)` vectors to int64 `(..., count)` codes, the best first."""

    def decode(self, codes: Tensor) -> Tensor:
        """As of every quantizer."""


def search(stages: Sequence[Ranked], z: Tensor, paths: int) -> Tensor:
    """`(..., D)` vectors to int64 `(..., Q)` codes, one for each stage, whose codewords add up to nearly `z`."""
    return by_blocks(lambda rows: _search_rows(stages, rows, paths), z, ROWS)


def _search_rows(stages: Sequence[Ranked], z: Tensor, paths: int) -> Tensor:
    """`(N, D)` to `(N, Q)`."""
    total, codes = torch.zeros_like(z)[:, None], z.new_zeros(len(z), 1, 0, dtype=torch.int64)  # (N, P, D), (N, P, q)
    for stage in stages:
        choices = stage.ranked(z[:, None] - total, paths)[..., None]  # (N, P, paths, 1)
        totals = (total[:, :, None] + stage.decode(choices)).flatten(1, 2)
        grown = torch.cat([codes[:, :, None].expand(-1, -1, paths, -1), choices], -1).flatten(1, 2)
        errors = (z[:, None] - totals).square().sum(-1)
        best = errors.topk(min(paths, errors.shape[1]), largest=False).indices[..., None]
        total = totals.gather(1, best.expand(-1, -1, totals.shape[2]))
        codes = grown.gather(1, best.expand(-1, -1, grown.shape[2]))
    return codes[:, 0]
