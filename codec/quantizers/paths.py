"""Several paths through residual stages at once: the best sum of codewords is seldom the one of nearest codewords.

The M-algorithm (Anderson, Mohan 1984, "Sequential coding algorithms: a survey and cost analysis") over the stages: from every stage
on the few best sums so far go on, each with the two codewords nearest to what it leaves, and the best of the last stage wins. Which
are the best is decided in float64 in one order, as in `codec.quantizers.search`, so that codes do not depend on how many vectors come
together, nor on the processor.
"""

from collections.abc import Sequence
from typing import Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor

from codec.quantizers.base import Quantizer
from codec.quantizers.search_exact import fixed_order_dot

ROWS = 1024  # searched at once
BRANCHES = 2  # of a path at a stage that may go on; the rest is seldom among the best


@runtime_checkable
class Followed(Quantizer, Protocol):
    """A quantizer of one table whose costs of codes can be added up from stage to stage."""

    adds_up: bool

    def few_nearest(self, z: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """As of `VectorQuantizer`."""


def can_be_followed(stages: Sequence[Quantizer], paths: int) -> TypeGuard[Sequence[Followed]]:
    """Whether `paths` paths lead through the stages: of one table each, at least as many codes, costs that add up."""
    return all(isinstance(stage, Followed) and stage.adds_up and paths <= min(stage.codebook_sizes) for stage in stages)


def search(stages: Sequence[Followed], z: Tensor, paths: int) -> Tensor:
    """`(..., D)` vectors to int64 `(..., Q)` codes, one for each stage, whose codewords add up to nearly `z`."""
    rows = z.reshape(-1, z.shape[-1])
    found = torch.cat([_search_rows(stages, part, paths) for part in rows.split(ROWS)])
    return found.reshape(*z.shape[:-1], len(stages))


def _search_rows(stages: Sequence[Followed], z: Tensor, paths: int) -> Tensor:
    """`(N, D)` to `(N, Q)`."""
    left, codes = z[:, None], z.new_zeros(len(z), 1, 0, dtype=torch.int64)  # (N, P, D), (N, P, q)
    cost = fixed_order_dot(left, left)  # (N, P)
    for number, stage in enumerate(stages):
        few = paths if number == 0 else min(paths, BRANCHES)
        scores, choices = stage.few_nearest(left.flatten(0, 1), few)
        costs = (cost[..., None] + scores.view(*cost.shape, few)).flatten(1)
        best = costs.argsort(dim=1, stable=True)[:, :paths]
        parents, chosen = best // few, choices.view(costs.shape).gather(1, best)
        cost = costs.gather(1, best)
        left = _rows(left, parents) - stage.decode(chosen[..., None])
        codes = torch.cat([_rows(codes, parents), chosen[..., None]], -1)
    return codes[:, 0]


def _rows(table: Tensor, places: Tensor) -> Tensor:
    """Of `(N, P, D)` the rows `(N, M)` of each, `(N, M, D)`."""
    return table.gather(1, places[..., None].expand(-1, -1, table.shape[2]))
