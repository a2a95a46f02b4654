"""Canonical tiles: an encoder always computes in one shape, so its codes do not depend on how the input arrives.

A block is a tile of T x T positions with a halo as wide as the network's receptive field. What lies in the halo is thrown away,
so the tiles join without a seam. A decoder may differ by rounding errors, so it computes in tiles as large as memory allows
(`Tile.grown`), of which less is halo.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tile:
    """Part of a grid: rows `[top, bottom)` and columns `[left, right)`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        """Its columns."""
        return slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    def scaled(self, factor: int) -> "Tile":
        """The same part of a grid that is `factor` times finer."""
        return Tile(self.top * factor, self.left * factor, self.bottom * factor, self.right * factor)

    def grown(self, halo: int, grid: tuple[int, int]) -> "Tile":
        """With `halo` more each way, cut at the border of the grid."""
        top, left = max(0, self.top - halo), max(0, self.left - halo)
        return Tile(top, left, min(self.bottom + halo, grid[0]), min(self.right + halo, grid[1]))

    def within(self, outer: "Tile") -> "Tile":
        """The same part in the coordinates of a tile around it."""
        return Tile(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)


def tiles(grid: tuple[int, int], size: int) -> Iterator[Tile]:
    """Cut a grid of rows and columns into squares of `size`, in raster order; those at the end may be smaller."""
    height, width = grid
    for top in range(0, height, size):
        for left in range(0, width, size):
            yield Tile(top, left, min(top + size, height), min(left + size, width))


@dataclass(frozen=True)
class Block:
    """Where a model computes one tile: rows and columns of the grid, and where the tile lies among them.

    Attributes:
        rows: int64 indices into the grid, as many for every tile.
        columns: the same across.
        inner: the tile in coordinates of the block.
    """

    rows: Tensor
    columns: Tensor
    inner: Tile


def block_around(tile: Tile, grid: tuple[int, int], size: int, halo: int) -> Block:
    """The block of `size + 2 halo` positions a side around a tile.

    A block lies inside the grid where it fits, so that at the border of the picture the network pads as it would for the whole
    picture; of a grid that is smaller, the mirrored part beyond its end fills the block.
    """
    side = size + 2 * halo
    top, left = (max(0, min(start - halo, end - side)) for start, end in zip((tile.top, tile.left), grid, strict=True))
    inner = Tile(tile.top - top, tile.left - left, tile.bottom - top, tile.right - left)
    return Block(_mirrored(top, side, grid[0]), _mirrored(left, side, grid[1]), inner)


def cut_block(grid: Tensor, block: Block, scale: int = 1) -> Tensor:
    """The block out of `(..., H, W)`, whose cells are `scale` times finer than the block's positions."""
    rows, columns = _finer(block.rows, scale, grid.shape[-2]), _finer(block.columns, scale, grid.shape[-1])
    return grid.index_select(-2, rows).index_select(-1, columns)


def filled(grid: Tensor, side: int) -> Tensor:
    """`(B, h, w, …)` with at least `side` rows and columns: a smaller one is mirrored beyond its end, as in a block."""
    rows, columns = (_mirrored(0, max(side, length), length) for length in grid.shape[1:3])
    return grid[:, rows[:, None], columns]


def _mirrored(start: int, count: int, length: int) -> Tensor:
    """Indices start … start + count - 1 into a row of `length`, reflected at its end as often as needed."""
    place = torch.arange(start, start + count) % (2 * length)
    return torch.where(place < length, place, 2 * length - 1 - place)


def _finer(positions: Tensor, scale: int, length: int) -> Tensor:
    """Indices of the `scale` cells of each position; mirrored positions keep their orientation, the last cell repeats."""
    return (positions[:, None] * scale + torch.arange(scale)).flatten().clamp_(max=length - 1)
