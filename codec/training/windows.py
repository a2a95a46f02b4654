"""A random part of a training crop for the costly losses."""

import numpy as np
from torch import Tensor


def same_window(samples: Tensor, decoded: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The same square of both pictures `(B, C, H, W)`, or span of both sounds `(B, C, T)`; smaller ones stay whole.

    A strided network weighs samples by their place, and a decoder that always sees the same places learns that pattern as a
    checkerboard, so the window moves. Where it lies follows from the samples themselves: a resumed run draws the same windows.
    """
    random = np.random.default_rng(int(255 * samples[0].double().sum().abs()))
    window = [slice(None), slice(None)]
    for size in samples.shape[2:]:
        length = min(side, size)
        first = int(random.integers(size - length + 1))
        window.append(slice(first, first + length))
    return samples[tuple(window)], decoded[tuple(window)]
