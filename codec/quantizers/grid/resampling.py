"""Grids to other sizes, one axis after the other by fixed matrices: means of areas down, cubic convolution up.

Keys 1981, "Cubic convolution interpolation for digital image processing". Any number of axes; on two the results are those of
`torch.nn.functional.interpolate` in its modes area and bicubic.
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

SHARPNESS = -0.75  # the slope of the cubic kernel at distance 1


@cache
def area(before: int, after: int) -> Tensor:
    """`(after, before)`: each row the mean over the cells that the new cell touches."""
    matrix = torch.zeros(after, before)
    for i in range(after):
        first, end = i * before // after, -(-(i + 1) * before // after)
        matrix[i, first:end] = 1 / (end - first)
    return matrix


@cache
def cubic(before: int, after: int) -> Tensor:
    """`(after, before)`: four neighbours weighed by distance between cell centres; the border cell goes on for ever."""
    place = (torch.arange(after, dtype=torch.float64) + 0.5) * before / after - 0.5
    matrix = torch.zeros(after, before, dtype=torch.float64)
    for step in (-1, 0, 1, 2):
        cells = place.floor() + step
        rows = torch.arange(after)
        matrix.index_put_((rows, cells.clamp(0, before - 1).long()), _kernel((place - cells).abs()), accumulate=True)
    return matrix.float()


def resample(x: Tensor, grid: Sequence[int], matrix: Callable[[int, int], Tensor]) -> Tensor:
    """`(B, *before, D)` to `(B, *grid, D)`; an axis that keeps its size is not touched."""
    for axis, side in enumerate(grid, 1):
        if x.shape[axis] != side:
            weights = matrix(x.shape[axis], side).to(x)
            x = torch.tensordot(x, weights, dims=([axis], [1])).movedim(-1, axis)
    return x.contiguous()


def repeat(x: Tensor, factor: int, axes: int) -> Tensor:
    """`(B, *grid, ...)` with each cell repeated `factor` times on each of the axes."""
    for axis in range(1, axes + 1):
        x = x.repeat_interleave(factor, axis)
    return x


def _kernel(distance: Tensor) -> Tensor:
    """Weight of a cell at a distance from 0 to 2 cells."""
    a = SHARPNESS
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return torch.where(distance <= 1, near, far)
