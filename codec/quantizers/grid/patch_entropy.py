"""Granularity by the local entropy of gray values, in shares that are chosen at run time.

Li et al. 2024 (Control-GIC), "Once-for-All: Controllable Generative Image Compression with Dynamic Granularity Adaption",
arXiv:2406.00758.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers.grid.resampling import repeat
from codec.quantizers.grid.routers import Routing

GRAY_LEVELS, BINS, BIN_WIDTH = 256, 32, 0.01  # of the histograms
SCALE = 1 << 20  # fixed point of weights and entropies: sums of integers do not depend on their order
COVERED, OUTSIDE = SCALE * BINS, 2 * SCALE * BINS  # above any entropy


class PatchEntropy(nn.Module):
    """Cells whose gray values have the lowest entropy stay coarse, in the shares asked for; nothing is learned.

    Of each level, coarsest first, the share `ratios[i]` of all its cells that have the lowest entropy ends there;
    what is left over is split. Equal entropies keep the order of their cells, so the shares hold in flat pictures too.

    Ranks are taken inside each picture, and there inside square regions that are laid from its first cell: what a region looks
    like depends on its own pixels alone, so tiles whose sides are multiples of `region` cells agree with the whole picture.
    The guide is the gray picture, in [-1, 1], `(B, H, W, 1)`; entropies come from histograms of integers.

    Args:
        ratios: share of the area for each level but the finest, coarsest first; `set_ratios` changes them at any time.
        patch: pixels of the guide to a cell of the finest level on each axis.
        region: side of a region in cells of the coarsest level.
        axes: of the grids.
    """

    weights: Tensor  # (GRAY_LEVELS, BINS) int64: how much a gray level adds to each bin, in 1 / SCALE

    def __init__(self, ratios: Sequence[float], *, patch: int = 4, region: int = 8, axes: int = 2) -> None:
        super().__init__()
        self.guide_stride, self.region, self.axes = patch, region, axes
        self.levels = len(ratios) + 1
        self.set_ratios(ratios)
        gray = torch.linspace(-1, 1, GRAY_LEVELS, dtype=torch.float64)
        bins = torch.linspace(-1, 1, BINS, dtype=torch.float64)
        weights = torch.exp(-0.5 * ((gray[:, None] - bins) / BIN_WIDTH).square())
        self.register_buffer("weights", (weights * SCALE).round().long(), persistent=False)

    def set_ratios(self, ratios: Sequence[float]) -> None:
        """Choose the rate of what follows."""
        if len(ratios) != self.levels - 1 or min(ratios, default=-1) < 0 or sum(ratios) > 1 + 1e-9:
            raise ValueError(f"expected {max(1, self.levels - 1)} shares of at most 1 together, got {list(ratios)}")
        self.ratios = tuple(ratios)

    def forward(self, features: Sequence[Tensor]) -> Routing:
        """The same in training; there is no gradient."""
        return Routing(self.splits(features))

    @torch.no_grad()
    def splits(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Of the guide and the features, finest first; of these only the guide counts."""
        gray = features[0].squeeze(-1).float()
        splits, reach = [], None
        for i, ratio in enumerate(self.ratios):
            entropy = self._entropy(gray, self.guide_stride << (len(self.ratios) - i))
            reach = torch.ones_like(entropy, dtype=torch.bool) if reach is None else repeat(reach, 2, self.axes)
            reach = reach & ~self._lowest(entropy, reach, ratio, self.region << i)
            splits.append(reach.float())
        return tuple(splits)

    def _entropy(self, gray: Tensor, patch: int) -> Tensor:
        """Entropy of the gray levels in each patch, int64 `(B, *grid)` in 1 / SCALE nats."""
        levels = ((gray + 1) * ((GRAY_LEVELS - 1) / 2)).round().clamp(0, GRAY_LEVELS - 1).long()
        patches, grid = _cut(levels, patch, self.axes)
        rows = patches.flatten(0, -2)
        place = torch.arange(len(rows), device=rows.device)[:, None] * GRAY_LEVELS + rows
        counts = torch.bincount(place.flatten(), minlength=len(rows) * GRAY_LEVELS).view(-1, GRAY_LEVELS)
        histogram = counts.double() @ self.weights.double()  # below 2^53, so exact
        shares = histogram / histogram.sum(1, keepdim=True).clamp_min(1)
        entropy = -(shares * shares.clamp_min(1e-40).log()).sum(1)
        return (entropy * SCALE).round().long().view(len(gray), *grid)

    def _lowest(self, entropy: Tensor, candidates: Tensor, ratio: float, region: int) -> Tensor:
        """Bool `(B, *grid)`: in each region the candidates of lowest entropy, as many as `ratio` of all its cells."""
        grid = entropy.shape[1:]
        margins = [pad for side in reversed(grid) for pad in (0, -side % region)]
        keys, _ = _cut(F.pad(entropy.where(candidates, COVERED), margins, value=OUTSIDE), region, self.axes)
        cells = (keys < OUTSIDE).sum(-1, keepdim=True)
        quota = (cells * round(ratio * SCALE) + SCALE // 2) // SCALE
        ranks = keys.argsort(dim=-1, stable=True).argsort(dim=-1)
        chosen = _join(ranks < quota, region, [-(-side // region) for side in grid])
        return chosen[(slice(None), *(slice(side) for side in grid))] & candidates


def _cut(x: Tensor, side: int, axes: int) -> tuple[Tensor, tuple[int, ...]]:
    """`(B, *grid)` to blocks `(B, blocks, side ** axes)` in reading order, and the grid of blocks."""
    grid = tuple(length // side for length in x.shape[1:])
    split = x.reshape(len(x), *(part for count in grid for part in (count, side)))
    order = [0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2)]
    return split.permute(order).reshape(len(x), -1, side**axes), grid


def _join(blocks: Tensor, side: int, grid: Sequence[int]) -> Tensor:
    """What `_cut` undoes."""
    axes = len(grid)
    split = blocks.reshape(len(blocks), *grid, *[side] * axes)
    order = [0, *(axis for i in range(1, axes + 1) for axis in (i, i + axes))]
    return split.permute(order).reshape(len(blocks), *(count * side for count in grid))
