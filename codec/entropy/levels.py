"""What depends on the quality: numbers for each channel, learned at a few knots and interpolated, exactly so in integers.

Cui et al. 2021, "Asymmetric gained deep image compression with continuous rate adaptation", arXiv:2003.02012: one model for
every rate. Where they learn gains and inverse gains, one table of log2 amplitudes serves here for both.
"""

from decimal import Decimal
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy.base import FIXED_POINT
from codec.entropy.kernels import POWER_BITS
from codec.nn import level_features

FINEST = 1023  # the largest gain index; a level is index / FINEST
_LARGEST = 16 * FIXED_POINT  # log2 amplitudes are clamped to 2^-16 … 2^16


def clip_gain(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gain indices of any size to 0 … `FINEST`."""
    return np.clip(index, 0, FINEST)


class LevelTable(nn.Module):
    """A number for each channel and knot; levels between two knots mix them linearly.

    Args:
        channels: C.
        knots: K, at levels 0, 1 / (K - 1), …, 1.
    """

    integers: Tensor  # int32 (K, C) in 1/256

    def __init__(self, channels: int, knots: int) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(knots, channels))
        self.register_buffer("integers", torch.zeros(knots, channels, dtype=torch.int32))

    def forward(self, levels: Tensor) -> Tensor:
        """Levels `(B, 1, h, w)` in [0, 1] to `(B, C, h, w)`."""
        return torch.einsum("bkhw,kc->bchw", level_features(levels.float(), len(self.values)), self.values)

    @torch.no_grad()
    def freeze(self) -> None:
        """Round to integers."""
        self.integers.copy_((self.values * FIXED_POINT).round().clamp(-_LARGEST, _LARGEST))

    @torch.no_grad()
    def thaw(self) -> None:
        """Make the float values from the integers."""
        self.values.copy_(self.integers / FIXED_POINT)

    def exact(self, gains: NDArray[np.int64]) -> NDArray[np.int64]:
        """Gain indices `(n,)` to integers `(n, C)` in 1/256; one row stands for all where the gain is the same everywhere."""
        if gains.size > 1 and np.all(gains == gains.flat[0]):
            return np.broadcast_to(self.exact(gains[:1]), (gains.size, self.integers.shape[1]))
        integers = self.integers.cpu().numpy().astype(np.int64)
        place = gains * (len(integers) - 1)
        knot, part = np.minimum(place // FINEST, len(integers) - 2), place
        part = (place - knot * FINEST)[:, None]
        return (integers[knot] * (FINEST - part) + integers[knot + 1] * part) // FINEST


@cache
def fractional_powers() -> NDArray[np.int64]:
    """2^(24 + i / 256), rounded, made without floats."""
    powers = (Decimal(2) ** (POWER_BITS + Decimal(i) / FIXED_POINT) for i in range(FIXED_POINT))
    return np.array([int(power.to_integral_value()) for power in powers], np.int64)


def power_of_two(exponents: NDArray[np.int64]) -> NDArray[np.int64]:
    """2^(e / 256) in 2^-24 for integers e of at most 16 * 256, any shape; small ones are rounded down."""
    shift = exponents >> 8
    powers = fractional_powers()[exponents & (FIXED_POINT - 1)]
    return np.where(shift >= 0, powers << np.maximum(shift, 0), powers >> np.maximum(-shift, 0))


def scaled(values: NDArray[np.int64], exponents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers of up to 22 bits times 2^(e / 256), rounded down: exact integer arithmetic."""
    return (values * power_of_two(exponents)) >> POWER_BITS


def level_inputs(gains: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`level_features` of gain indices `(n,)` as integers `(n, count)` in 1/256."""
    distance = np.abs(gains[:, None] * (count - 1) - FINEST * np.arange(count))
    return np.maximum(FINEST - distance, 0) * FIXED_POINT // FINEST
