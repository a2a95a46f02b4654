"""Inner loops of the integer networks, compiled by numba: where a library's float64 convolution is slow."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True, error_model="numpy")
def depthwise(padded: Floats, weight: Floats, bias: Floats, sums: Floats) -> None:
    """Correlate each channel with its own kernel; integer-valued sums below 2^53 are exact in any order.

    Args:
        padded: `(B, C, h + k - 1, w + k - 1)`.
        weight: `(C, k, k)`.
        bias: `(C,)`.
        sums: `(B, C, h, w)`, overwritten.
    """
    batch, channels, height, width = sums.shape
    side = weight.shape[1]
    for b in range(batch):
        for c in range(channels):
            for row in range(height):
                line = sums[b, c, row]
                for column in range(width):
                    line[column] = bias[c]
                for i in range(side):
                    source = padded[b, c, row + i]
                    for j in range(side):
                        factor = weight[c, i, j]
                        for column in range(width):
                            line[column] += factor * source[column + j]
