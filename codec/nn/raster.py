"""A causal transformer over grids of any size: every position sees what lies near it and comes before it in raster order.

Parmar et al. 2018, "Image Transformer", arXiv:1802.05751, for attention to the neighbourhood of what came before.
"""

import torch
from torch import Tensor, nn

from codec.nn.norms import RMSNorm
from codec.nn.transformer import NORM_FLOOR, Cache, Side, blocks_of, rotations


class RasterTransformer(nn.Module):
    """Every position sees itself and what is near: to its left in the same row, and on both sides in the rows above.

    Args:
        dim: channels.
        depth: layers; those on top of each other see farther.
        heads: of each.
        reach: rows up, and columns to either side, that a layer sees.
        hidden: channels of the feed-forward layers; by default 8/3 of `dim`, in whole 32s.
    """

    def __init__(self, dim: int, depth: int, heads: int, *, reach: Side = (8, 8), hidden: int | None = None) -> None:
        super().__init__()
        self.dim, self.heads, self.reach = dim, heads, (reach[0], reach[1])
        self.layers = blocks_of(dim, depth, heads, hidden)
        self.norm = RMSNorm(dim, NORM_FLOOR)

    def new_cache(self) -> Cache:
        """Where nothing has been seen yet."""
        return Cache()

    def forward(self, x: Tensor, columns: int, cache: Cache | None = None) -> Tensor:
        """Positions `(B, N, dim)` of a grid of so many columns in raster order, after those in the cache, to the same, normed."""
        past = 0 if cache is None else cache.length
        keys = grid_places(past + x.shape[1], columns).to(x.device)
        queries = keys[past:]
        mask, turns = seen_before(queries, keys, self.reach), rotations(queries, self.dim // self.heads).to(x)
        for i, layer in enumerate(self.layers):
            x = layer(x, turns, mask, cache=cache, layer=i)
        return self.norm(x)


def grid_places(count: int, columns: int) -> Tensor:
    """Row and column `(count, 2)` of the first positions in raster order."""
    steps = torch.arange(count)
    return torch.stack([steps // columns, steps % columns], 1)


def seen_before(queries: Tensor, keys: Tensor, reach: Side) -> Tensor:
    """bool `(N, M)`: which keys at `(M, 2)` rows and columns the queries at `(N, 2)` see."""
    up, left = (queries[:, None] - keys[None]).unbind(2)
    above = (up > 0) & (up <= reach[0]) & (left.abs() <= reach[1])
    return above | ((up == 0) & (left >= 0) & (left <= reach[1]))
