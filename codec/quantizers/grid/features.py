"""Feature grids at the border of a grid quantizer: checked, and in eval each example by itself.

Convolutions and resampling may round differently when more examples come with one. So what decides about codes sees one example,
always of one shape; only training, where a code that flips does no harm, takes the batch at once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from codec.quantizers.base import GridQuantized, GridQuantizer, average_losses


def check_features(quantizer: GridQuantizer, features: Sequence[Tensor]) -> None:
    """Refuse features that do not fit the quantizer, or each other."""
    expected = f"{len(quantizer.dims)} features of {quantizer.axes} axes, {quantizer.dims} wide, at strides {quantizer.strides}"
    shapes = [tuple(feature.shape) for feature in features]
    if len(features) != len(quantizer.dims) or any(len(shape) != quantizer.axes + 2 for shape in shapes):
        raise ValueError(f"expected {expected}, channel-last, got shapes {shapes}")
    first = check_grid(quantizer, shapes[0][1:-1])
    for shape, dim, stride in zip(shapes, quantizer.dims, quantizer.strides, strict=True):
        if shape != (shapes[0][0], *(side // stride for side in first), dim):
            raise ValueError(f"expected {expected}, got shapes {shapes}")


def check_grid(quantizer: GridQuantizer, grid: tuple[int, ...]) -> tuple[int, ...]:
    """The grid of the first feature, refused where the largest stride does not divide it."""
    largest = max(quantizer.strides)
    if len(grid) != quantizer.axes or any(side % largest for side in grid):
        raise ValueError(f"the grid needs {quantizer.axes} axes, multiples of {largest}, got {grid}")
    return grid


def one_by_one(encode: Callable[[list[Tensor]], list[Tensor]], features: Sequence[Tensor]) -> list[Tensor]:
    """Planes of a batch, with each example encoded by itself."""
    examples = zip(*(feature.split(1) for feature in features), strict=True)
    return [torch.cat(planes) for planes in zip(*(encode(list(example)) for example in examples), strict=True)]


def quantize_one_by_one(quantize: Callable[[list[Tensor]], GridQuantized], features: Sequence[Tensor]) -> GridQuantized:
    """As `one_by_one`, for all that a forward pass makes; losses are averaged."""
    outs = [quantize(list(example)) for example in zip(*(feature.split(1) for feature in features), strict=True)]
    return GridQuantized(
        vectors=tuple(torch.cat(grids) for grids in zip(*(out.vectors for out in outs), strict=True)),
        planes=tuple(torch.cat(planes) for planes in zip(*(out.planes for out in outs), strict=True)),
        losses=average_losses([out.losses for out in outs]),
    )
