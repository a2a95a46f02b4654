"""A `RasterTransformer` in integers that goes through a grid a few positions at a time.

A position sees at most `reach` columns to the right in the rows above, so that a row may follow the one above it at that distance: all
positions of such a slanted front are computed at once (as the wavefronts of video codecs).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn

from codec.entropy.exact_transformer import (
    ExactAttention,
    exact_attention,
    exact_layers,
    exact_norm,
    exact_sum,
    exact_turns,
)
from codec.nn import RasterTransformer


@dataclass(frozen=True)
class Front:
    """Positions that are computed at once, one of each row at most.

    Attributes:
        rows: int64 `(n,)`.
        columns: int64 `(n,)`.
    """

    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class Seen:
    """What is still seen, a row in place of one long past.

    Attributes:
        rows: that are held.
        columns: of the grid.
        keys: `(layers, H, rows * columns, d)`.
        values: the same.
    """

    rows: int
    columns: int
    keys: Tensor
    values: Tensor


class ExactRasterTransformer(nn.Module):
    """Twin of a `RasterTransformer`, without the gain of its last norm, which the layer behind it takes over.

    Args:
        network: trained.
    """

    def __init__(self, network: RasterTransformer) -> None:
        super().__init__()
        self.dim, self.heads, self.reach = network.dim, network.heads, network.reach
        self.attentions, self.feeds = exact_layers(network.layers)
        up, aside = self.reach
        above = [(-i, j) for i in range(up, 0, -1) for j in range(-aside, aside + 1)]
        near = torch.tensor(above + [(0, -j) for j in range(aside, -1, -1)])
        self.register_buffer("near", near, persistent=False)

    def fronts(self, grid: tuple[int, int]) -> Iterator[Front]:
        """Of a grid, in an order in which each sees only those before it, and itself."""
        rows, columns = grid
        late = torch.arange(rows) * (self.reach[1] + 1)
        for time in range(columns + int(late[-1])):
            at = time - late
            inside = (at >= 0) & (at < columns)
            if inside.any():
                yield Front(torch.arange(rows)[inside], at[inside])

    def nothing_seen(self, grid: tuple[int, int]) -> Seen:
        """Where a grid begins."""
        in_front = -(-grid[1] // (self.reach[1] + 1))
        rows = min(grid[0], self.reach[0] + in_front + 1)
        shape = len(self.attentions), self.heads, rows * grid[1], self.dim // self.heads
        return Seen(rows, grid[1], *torch.zeros(2, *shape, dtype=torch.float64))

    def forward(self, x: Tensor, front: Front, seen: Seen) -> Tensor:
        """Integer-valued float64 `(n, dim)` of a front to the same, normed; its keys and values are added to what is seen."""
        at = torch.stack([front.rows, front.columns], 1)
        row, column = (at[:, None] + cast(Tensor, self.near)).unbind(2)
        inside = (row >= 0) & (column >= 0) & (column < seen.columns)
        near = (row % seen.rows * seen.columns + column.clamp(0, seen.columns - 1)).flatten()
        own = front.rows % seen.rows * seen.columns + front.columns
        turns, stream = exact_turns(at, self.dim // self.heads)[:, :, None, None], x[:, None]
        for i, (attention, feed) in enumerate(zip(self.attentions, self.feeds, strict=True)):
            query, key, value = cast(ExactAttention, attention).entered(exact_norm(stream), turns)
            seen.keys[i, :, own], seen.values[i, :, own] = key[:, :, 0].transpose(0, 1), value[:, :, 0].transpose(0, 1)
            keys, values = (
                part[i].index_select(1, near).unflatten(1, inside.shape) for part in (seen.keys, seen.values)
            )
            mixed = exact_attention(query.transpose(0, 1), keys, values, inside[:, None])
            stream = exact_sum(
                stream, cast(ExactAttention, attention).leave(rearrange(mixed, "h n one d -> n one (h d)"))
            )
            stream = exact_sum(stream, feed(exact_norm(stream)))
        return exact_norm(stream)[:, 0]
