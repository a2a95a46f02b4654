"""Canonical tiles: a model always computes in one shape, so its codes do not depend on how the input arrives.

A block is a tile of T x T positions with a halo as wide as the network's receptive field. Beyond the picture's border
the nearest pixel repeats. What lies in the halo is thrown away, so the tiles join without a seam.
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


def tiles(grid: tuple[int, int], size: int) -> Iterator[Tile]:
    """Cut a grid of rows and columns into squares of `size`, in raster order; those at the end may be smaller."""
    height, width = grid
    for top in range(0, height, size):
        for left in range(0, width, size):
            yield Tile(top, left, min(top + size, height), min(left + size, width))


def cut_block(grid: Tensor, tile: Tile, size: int, halo: int) -> Tensor:
    """The block of shape `(..., size + 2 halo, size + 2 halo)` around a tile of `(..., H, W)`; borders repeat."""
    rows = torch.arange(tile.top - halo, tile.top + size + halo, device=grid.device).clamp_(0, grid.shape[-2] - 1)
    columns = torch.arange(tile.left - halo, tile.left + size + halo, device=grid.device).clamp_(0, grid.shape[-1] - 1)
    return grid[..., rows[:, None], columns]
