"""Dynamic granularity: flat regions take one coarse code, detailed ones several fine codes, and a map in the stream says which.

Huang et al. 2023 (DQ-VAE), arXiv:2305.11718; Li et al. 2024 (Control-GIC), arXiv:2406.00758: they differ in the router.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codec.quantizers.base import GridQuantized, Quantizer, pass_gradient
from codec.quantizers.grid.features import check_features, check_grid, one_by_one, quantize_one_by_one
from codec.quantizers.grid.resampling import repeat
from codec.quantizers.grid.routers import Router, occupancy


class DynamicGranularity(nn.Module):
    """Features of several levels, each cell quantized at the level that the router gives it, all with one quantizer.

    Planes: the splits of each level but the finest, coarsest first, alphabet 2; then the codes of each level, coarsest first.
    A level's codes are 0 where another level has the cell: `used` tells from the splits where, so an entropy model that comes to
    the splits first need not spend a bit there. The vectors are one grid at the finest level, with coarse codes repeated.
    Each code in use counts once in losses and statistics, however large its cell. A router that learns hears what the decoder
    would gain by the other level's feature in a cell, where the papers scale the chosen one by a gate of 1.

    Args:
        quantizer: for the cells of all levels.
        router: decides on the splits, and says of how many levels.
    """

    def __init__(self, quantizer: Quantizer, router: Router) -> None:
        super().__init__()
        self.quantizer, self.router = quantizer, router
        self.levels, self.axes = router.levels, router.axes
        guide, finest = router.guide_stride, router.guide_stride or 1
        self.dims = (() if guide is None else (1,)) + (quantizer.dim,) * self.levels
        self.strides = (() if guide is None else (1,)) + tuple(finest << i for i in range(self.levels))
        self._width = len(quantizer.codebook_sizes)
        self.codebook_sizes = (2,) * (self.levels - 1) + tuple(quantizer.codebook_sizes) * self.levels

    def layout(self, grid: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Grids of the splits, then of the codes."""
        check_grid(self, grid)
        grids = [tuple(side // stride for side in grid) for stride in reversed(self.strides[-self.levels :])]
        return (*grids[:-1], *(grid for grid in grids for _ in range(self._width)))

    def encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The guide, where the router has one, and the levels, finest first, to int64 planes."""
        check_features(self, features)
        return one_by_one(self._encode, features)

    @torch.no_grad()
    def _encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        with torch.autocast(features[0].device.type, enabled=False):
            used = occupancy(self.router.splits(features), self.axes)
            return self._planes(used, self.quantizer.encode(self._rows(features, used)))

    def decode(self, planes: Sequence[Tensor]) -> tuple[Tensor]:
        """All planes to one grid of vectors."""
        if len(planes) != len(self.codebook_sizes):
            raise ValueError(f"expected {len(self.codebook_sizes)} planes, got {len(planes)}")
        used = self.used(planes)
        levels = [planes[i : i + self._width] for i in range(self.levels - 1, len(planes), self._width)]
        codes = torch.cat([torch.stack(list(level), -1)[mask] for level, mask in zip(levels, used, strict=True)])
        return (self._spread([mask.float() for mask in used], self.quantizer.decode(codes)),)

    def used(self, planes: Sequence[Tensor]) -> list[Tensor]:
        """Where each level, coarsest first, has codes that count: bool `(B, *grid)`, from the splits alone."""
        return [level.bool() for level in occupancy([plane.float() for plane in planes[: self.levels - 1]], self.axes)]

    @torch.no_grad()
    def start(self, features: Sequence[Tensor]) -> None:
        """Start the quantizer on the cells that the router chooses."""
        check_features(self, features)
        self.quantizer.start(self._rows(features, occupancy(self.router.splits(features), self.axes)))

    def forward(self, features: Sequence[Tensor]) -> GridQuantized:
        """Route and quantize."""
        check_features(self, features)
        return self._quantize(features) if self.training else quantize_one_by_one(self._quantize, features)

    def _quantize(self, features: Sequence[Tensor]) -> GridQuantized:
        with torch.autocast(features[0].device.type, enabled=False):
            routing = self.router(features)
            used = occupancy(routing.splits, self.axes)
            out = self.quantizer(self._rows(features, used))
            vectors = pass_gradient(self._mixed(features, used), self._spread(used, out.vectors))
            return GridQuantized(
                vectors=(vectors,),
                planes=tuple(self._planes(used, out.codes)),
                losses=out.losses | routing.losses,
            )

    def _rows(self, features: Sequence[Tensor], used: Sequence[Tensor]) -> Tensor:
        """`(N, D)` vectors of the cells in use, coarsest level first."""
        levels = zip(reversed(features[-self.levels :]), used, strict=True)
        return torch.cat([feature.float()[gate > 0.5] for feature, gate in levels])

    def _mixed(self, features: Sequence[Tensor], used: Sequence[Tensor]) -> Tensor:
        """Features of the levels where each is used, at the finest grid; only the occupancy has a gradient."""
        levels = zip(reversed(features[-self.levels :]), used, strict=True)
        return self._summed([gate[..., None] * feature.detach().float() for feature, gate in levels])

    def _spread(self, used: Sequence[Tensor], vectors: Tensor) -> Tensor:
        """`(N, D)` vectors of the cells in use back to their cells, repeated to the finest grid."""
        masks = [gate > 0.5 for gate in used]
        grids = []
        for mask, rows in zip(masks, vectors.split([int(mask.sum()) for mask in masks]), strict=True):
            empty = vectors.new_zeros(*mask.shape, vectors.shape[-1])
            grids.append(empty.index_put(mask.nonzero(as_tuple=True), rows))
        return self._summed(grids)

    def _summed(self, levels: Sequence[Tensor]) -> Tensor:
        """The sum of grids `(B, *grid, D)` of all levels, each repeated to the finest."""
        large = [repeat(level, 1 << (self.levels - 1 - i), self.axes) for i, level in enumerate(levels)]
        return torch.stack(large).sum(0)

    def _planes(self, used: Sequence[Tensor], codes: Tensor) -> list[Tensor]:
        """Splits and codes as planes; unused codes are 0."""
        planes, reach = [], torch.ones_like(used[0])
        for gate in used[:-1]:
            split = (reach - gate).round()
            planes.append(split.long())
            reach = repeat(split, 2, self.axes)
        masks = [gate > 0.5 for gate in used]
        for mask, rows in zip(masks, codes.split([int(mask.sum()) for mask in masks]), strict=True):
            grid = codes.new_zeros(*mask.shape, self._width)
            grid[mask] = rows
            planes += grid.unbind(-1)
        return planes
