"""A random square of a training crop for the costly losses."""

import numpy as np
from torch import Tensor


def same_window(pixels: Tensor, decoded: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The same square of both `(B, C, H, W)`; smaller pictures stay whole.

    A strided network weighs pixels by their place, and a decoder that always sees the same places learns that pattern as a
    checkerboard, so the square moves. Where it lies follows from the pixels themselves: a resumed run draws the same squares.
    """
    height, width = pixels.shape[-2:]
    rows, columns = min(side, height), min(side, width)
    random = np.random.default_rng(int(255 * pixels[0].double().sum()))
    top, left = int(random.integers(height - rows + 1)), int(random.integers(width - columns + 1))
    square = (..., slice(top, top + rows), slice(left, left + columns))
    return pixels[square], decoded[square]
