"""Several paths through residual stages at once: the best sum of codewords is seldom the one of nearest codewords.

The M-algorithm (Anderson, Mohan 1984, "Sequential coding algorithms: a survey and cost analysis") over the stages: from every stage
on the few best sums so far go on, and the best of the last stage wins.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from codec.quantizers.blocks import by_blocks

ROWS = 16  # searched at once, always as many, so that codes do not depend on how many come together


@runtime_checkable
class Scored(Protocol):
    """A quantizer of one table that says how good each code is."""

    def scores(self) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """As of `VectorQuantizer`."""


def search(stages: Sequence[Scored], z: Tensor, paths: int) -> Tensor:
    """`(..., D)` vectors to int64 `(..., Q)` codes, one for each stage, whose codewords add up to nearly `z`."""
    tables = [stage.scores() for stage in stages]
    return by_blocks(lambda rows: _search_rows(tables, rows, paths), z, ROWS)


def _search_rows(tables: Sequence[tuple[Callable[[Tensor], Tensor], Tensor]], z: Tensor, paths: int) -> Tensor:
    """`(N, D)` to `(N, Q)`."""
    left, codes = z[:, None], z.new_zeros(len(z), 1, 0, dtype=torch.int64)  # (N, P, D), (N, P, q)
    for score, codewords in tables:
        count = left.shape[1] * paths
        choices = score(left.flatten(0, 1)).topk(paths, dim=1).indices.reshape(len(z), -1, paths)
        lefts = (left[:, :, None] - codewords[choices]).reshape(len(z), count, -1)
        best = lefts.square().sum(-1).topk(min(paths, count), largest=False).indices
        left = lefts.gather(1, best[..., None].expand(-1, -1, z.shape[1]))
        before = codes.gather(1, (best // paths)[..., None].expand(-1, -1, codes.shape[2]))
        codes = torch.cat([before, choices.flatten(1).gather(1, best)[..., None]], -1)
    return codes[:, 0]
