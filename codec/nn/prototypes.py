"""Prototypes of regions: the mean of the features in each, given back to every position of the region.

Liu et al. 2024 (SegPIC), arXiv:2403.00628. Regions are those of masks in training, else the cells of a grid.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

GRID = 4
FINE = 4  # pixels a position of the features that prototypes are for


def grid_prototypes(features: Tensor) -> Tensor:
    """Features `(B, C, h, w)` to the mean of each cell of a 4x4 grid, `(B, C, 4, 4)`."""
    return F.adaptive_avg_pool2d(features, GRID)


def mask_prototypes(features: Tensor, masks: Tensor, count: int) -> Tensor:
    """Mean of features `(B, C, h, w)` in each of the regions 0 … count - 1 that int64 masks `(B, h, w)` name: `(B, C, count)`.

    A region without a position gets the mean of all.
    """
    batch, channels = features.shape[:2]
    places = masks.flatten(1)[:, None]
    sums = features.new_zeros(batch, channels, count)
    sums = sums.scatter_add(2, places.expand(-1, channels, -1), features.flatten(2))
    areas = features.new_zeros(batch, 1, count).scatter_add(2, places, torch.ones_like(places, dtype=features.dtype))
    whole = features.mean((2, 3))[..., None]
    return torch.where(areas > 0, sums / areas.clamp_min(1), whole)


def spread_prototypes(source: Tensor, size: tuple[int, int], scale: int, masks: Tensor | None) -> Tensor:
    """Each position's prototype, from features `(B, C, h, w)` at `scale` pixels a position to `(B, C, *size)`.

    Args:
        source: features that regions are pooled from.
        size: of the features that are filtered, at 1/4 resolution.
        scale: pixels a position of the source.
        masks: int64 `(B, 4 size)` numbers of regions from 0, a pixel each; without them a grid serves.
    """
    if masks is None:
        return F.interpolate(grid_prototypes(source), size=size, mode="nearest")
    wanted = (size[0] * FINE, size[1] * FINE)
    if masks.shape != (len(source), *wanted) or masks.is_floating_point():
        raise ValueError(f"masks must be integers {(len(source), *wanted)}, got {masks.dtype} {tuple(masks.shape)}")
    prototypes = mask_prototypes(source, _thin(masks, scale), int(masks.max()) + 1)
    places = _thin(masks, FINE).flatten(1)[:, None].expand(-1, source.shape[1], -1)
    return prototypes.gather(2, places).unflatten(2, size)


def _thin(masks: Tensor, scale: int) -> Tensor:
    """The number at the middle of each cell of `scale` pixels."""
    return masks[:, scale // 2 :: scale, scale // 2 :: scale].long()
