"""Transformers over grids and over sequences: rotary positions, normed queries and keys, gated feed-forward layers.

Su et al. 2021, "RoFormer", arXiv:2104.09864; Shazeer 2020, "GLU Variants Improve Transformer", arXiv:2002.05202; Henry et al. 2020,
"Query-Key Normalization for Transformers", arXiv:2010.04245; windows that are half a window further in every other layer as in Liu
et al. 2021, "Swin Transformer", arXiv:2103.14030. Positions are relative only, so that a grid may be larger than those of training.

Legend: B batch, N positions, R rows, C columns, H heads, d channels of a head.
"""

import math
from dataclasses import dataclass, field, replace

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.norms import RMSNorm

NORM_FLOOR = 2.0**-16  # added to mean squares
LONGEST_PLAIN = 512  # keys
Side = tuple[int, int]


@dataclass
class Cache:
    """Keys and values of what a causal transformer has seen: one pair `(B, H, N, d)` a layer."""

    pairs: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Positions seen."""
        return self.pairs[0][0].shape[2] if self.pairs else 0


class Attention(nn.Module):
    """Softmax attention; queries and keys have unit power and a learned gain, so that logits stay within bounds.

    Args:
        dim: channels of both sides.
        heads: they divide `dim`; a head has an even number of channels.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads or dim // heads % 2:
            raise ValueError(f"{heads} heads do not divide {dim} channels into even parts")
        self.heads = heads
        self.enter = nn.Linear(dim, 3 * dim, bias=False)
        self.query_norm = RMSNorm(dim // heads, NORM_FLOOR)
        self.key_norm = RMSNorm(dim // heads, NORM_FLOOR)
        self.leave = nn.Linear(dim, dim, bias=False)

    def forward(
        self, x: Tensor, turns: Tensor, mask: Tensor | None = None, *, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        """`(B, N, dim)` to the same.

        Args:
            x: normed inputs.
            turns: `(2, N, d)` as of `rotations`.
            mask: bool, broadcast to `(B, H, N, keys)`: what is seen.
            cache: the layer's keys and values are read from it and added to it.
            layer: which of the cache's pairs is this one's.
        """
        query, key, value = rearrange(self.enter(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        query, key = turned(self.query_norm(query), turns), turned(self.key_norm(key), turns)
        if cache is not None:
            if layer < len(cache.pairs):
                before = cache.pairs[layer]
                key, value = torch.cat([before[0], key], 2), torch.cat([before[1], value], 2)
                cache.pairs[layer] = key, value
            else:
                cache.pairs.append((key, value))
        mixed = attend(query.to(value), key.to(value), value, mask)
        return self.leave(rearrange(mixed, "b h n d -> b n (h d)"))


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention of `(B, H, N, d)` to keys and values `(B, H, M, d)`, where bool masks, broadcast to `(B, H, N, M)`, allow.

    Short rows of bfloat16 on a processor, as training has them, go through plain products: several times as fast there as the fused kernel.
    """
    if value.dtype != torch.bfloat16 or value.device.type != "cpu" or key.shape[2] > LONGEST_PLAIN:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    return logits.softmax(-1) @ value


class GatedFeedForward(nn.Module):
    """A SiLU gate times a linear layer, and back.

    Args:
        dim: channels of both sides.
        hidden: channels between.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(dim, 2 * hidden, bias=False)
        self.leave = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., dim)` to the same."""
        gate, values = self.enter(x).chunk(2, -1)
        return self.leave(F.silu(gate) * values)


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to what it was given.

    Args:
        dim: channels.
        heads: of the attention.
        hidden: of the feed-forward layer.
    """

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(dim, NORM_FLOOR), Attention(dim, heads)
        self.feed_norm, self.feed = RMSNorm(dim, NORM_FLOOR), GatedFeedForward(dim, hidden)

    def forward(
        self, x: Tensor, turns: Tensor, mask: Tensor | None = None, *, cache: Cache | None = None, layer: int = 0
    ) -> Tensor:
        """As of `Attention`, but `x` is not normed."""
        x = x + self.attention(self.attention_norm(x), turns, mask, cache=cache, layer=layer)
        return x + self.feed(self.feed_norm(x))


class GridTransformer(nn.Module):
    """Every position of a grid sees those of its window, before and behind it; layers on top of each other see farther.

    Args:
        dim: channels.
        depth: layers.
        heads: of each.
        window: rows and columns of a window; one at least as large as the grid sees all of it, and is not shifted.
        hidden: channels of the feed-forward layers; by default 8/3 of `dim`, in whole 32s.
    """

    def __init__(self, dim: int, depth: int, heads: int, *, window: Side = (8, 8), hidden: int | None = None) -> None:
        super().__init__()
        self.dim, self.heads, self.window = dim, heads, (window[0], window[1])
        self.layers = blocks_of(dim, depth, heads, hidden)
        self.norm = RMSNorm(dim, NORM_FLOOR)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, R, C, dim)` to the same, normed."""
        grid = x.shape[1], x.shape[2]
        places = [windows_of(grid, self.window, shifted=shifted).closed() for shifted in (False, True)]
        masks = [place.mask(x.device, len(x)) for place in places]
        turns = rotations(grid_positions(places[0].window), self.dim // self.heads).to(x)
        for i, layer in enumerate(self.layers):
            place = places[i % 2]
            x = place.join(layer(place.cut(x), turns, masks[i % 2]))
        return self.norm(x)


class SequenceTransformer(nn.Module):
    """A causal transformer: every position sees itself and those before it.

    Args:
        dim: channels.
        depth: layers.
        heads: of each.
        hidden: channels of the feed-forward layers; by default 8/3 of `dim`, in whole 32s.
    """

    def __init__(self, dim: int, depth: int, heads: int, *, hidden: int | None = None) -> None:
        super().__init__()
        self.dim, self.heads = dim, heads
        self.layers = blocks_of(dim, depth, heads, hidden)
        self.norm = RMSNorm(dim, NORM_FLOOR)

    def new_cache(self) -> Cache:
        """Where nothing has been seen yet."""
        return Cache()

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """`(B, N, dim)`, those that follow what the cache has seen, to the same, normed."""
        past = 0 if cache is None else cache.length
        steps = torch.arange(past, past + x.shape[1], device=x.device)
        turns = rotations(steps[:, None], self.dim // self.heads).to(x)
        mask = steps[:, None] >= torch.arange(past + x.shape[1], device=x.device)
        for i, layer in enumerate(self.layers):
            x = layer(x, turns, mask, cache=cache, layer=i)
        return self.norm(x)


@dataclass(frozen=True)
class Windows:
    """How a grid is cut into windows.

    Attributes:
        grid: rows and columns.
        window: of a window, no larger than the grid.
        shift: by which the first windows begin before the first row and column.
        wraps: what is beyond the border is the other end of the grid, not nothing; no position sees across.
    """

    grid: Side
    window: Side
    shift: Side
    wraps: bool = False

    def closed(self) -> "Windows":
        """The same at less cost where windows fill the grid: those at one end share windows with those at the other."""
        fill = all(side % window == 0 for side, window in zip(self.grid, self.window, strict=True))
        return replace(self, wraps=True) if fill and any(self.shift) else self

    @property
    def count(self) -> Side:
        """Windows along both axes."""
        sides = zip(self.grid, (0, 0) if self.wraps else self.shift, self.window, strict=True)
        rows, columns = (-(-(side + shift) // window) for side, shift, window in sides)
        return rows, columns

    def cut(self, x: Tensor) -> Tensor:
        """`(B, R, C, dim)` to `(B windows, positions, dim)`; beyond the border are zeros."""
        padded = x.roll(self.shift, (1, 2)) if self.wraps else F.pad(x, (0, 0, *self._padding()))
        height, width = self.window
        return rearrange(padded, "b (r h) (c w) d -> (b r c) (h w) d", h=height, w=width)

    def join(self, windows: Tensor) -> Tensor:
        """The way back."""
        (rows, columns), (height, width), (down, right) = self.count, self.window, self.shift
        whole = rearrange(windows, "(b r c) (h w) d -> b (r h) (c w) d", r=rows, c=columns, h=height, w=width)
        if self.wraps:
            return whole.roll((-down, -right), (1, 2))
        return whole[:, down : down + self.grid[0], right : right + self.grid[1]]

    def mask(self, device: torch.device, batch: int) -> Tensor | None:
        """bool, broadcast to `(B windows, 1, positions, positions)`: which keys are inside the grid, at the same end; None if all are."""
        if self.wraps:
            ends = self.cut(self._ends(device)).flatten(1)
            return (ends[:, :, None] == ends[:, None]).repeat(batch, 1, 1)[:, None]
        if not any(self._padding()):
            return None
        inside = self.cut(torch.ones(1, *self.grid, 1, device=device))[..., 0] > 0
        return inside.repeat(batch, 1)[:, None, None]

    def _ends(self, device: torch.device) -> Tensor:
        """`(1, R, C, 1)`: a number for the first, one for the last rows and columns, by which they are told apart."""
        last = [
            torch.arange(side, device=device) >= side - shift for side, shift in zip(self.grid, self.shift, strict=True)
        ]
        return (2 * last[0][:, None].long() + last[1].long())[None, ..., None]

    def _padding(self) -> tuple[int, int, int, int]:
        (rows, columns), (height, width), (down, right) = self.count, self.window, self.shift
        return right, columns * width - self.grid[1] - right, down, rows * height - self.grid[0] - down


def windows_of(grid: Side, window: Side, *, shifted: bool) -> Windows:
    """Windows of at most that size; along an axis that one window covers they are not shifted."""
    height, width = min(grid[0], window[0]), min(grid[1], window[1])
    shift = (height // 2 if height < grid[0] else 0, width // 2 if width < grid[1] else 0)
    return Windows(grid, (height, width), shift if shifted else (0, 0))


def grid_positions(grid: Side) -> Tensor:
    """int64 `(N, axes)` in raster order; an axis of one position is left out, unless both have one."""
    axes = [torch.arange(side) for side in grid if side > 1] or [torch.zeros(1, dtype=torch.int64)]
    return torch.stack([axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")], 1)


def rotations(positions: Tensor, channels: int, base: float = 10000.0) -> Tensor:
    """Cosines and sines `(2, N, channels)` of rotary positions `(N, axes)`: each axis turns its share of the pairs of channels."""
    count, axes = positions.shape
    shares = [len(part) for part in torch.arange(channels // 2).tensor_split(axes)]
    angles = [
        positions[:, axis : axis + 1] * base ** (-torch.arange(share, device=positions.device) / share)
        for axis, share in enumerate(shares)
    ]
    turned_by = torch.cat(angles, 1).repeat(1, 2) if count else positions.new_zeros(0, channels).float()
    return torch.stack([turned_by.cos(), turned_by.sin()])


def turned(x: Tensor, turns: Tensor) -> Tensor:
    """`(..., N, d)` with the pairs (i, i + d/2) turned by `(2, N, d)`."""
    first, second = x.chunk(2, -1)
    return x * turns[0] + torch.cat([-second, first], -1) * turns[1]


def blocks_of(dim: int, depth: int, heads: int, hidden: int | None) -> nn.ModuleList:
    """Layers that add little at first, however many there are."""
    hidden = hidden if hidden is not None else 32 * round(8 * dim / 3 / 32)
    blocks = nn.ModuleList(Block(dim, heads, hidden) for _ in range(depth))
    for name, weight in blocks.named_parameters():
        if weight.ndim == 2:
            scale = 1 / math.sqrt(2 * depth) if "leave" in name else 1.0
            nn.init.normal_(weight, std=scale / math.sqrt(weight.shape[1]))
    return blocks
