"""TurboQuant: a random rotation makes every coordinate of a direction alike, so one optimal scalar quantizer serves them all.

Zandieh et al. 2025, "TurboQuant: Online Vector Quantization with Near-optimal Distortion Rate", arXiv:2504.19874; the residual's signs:
Zandieh et al. 2024, "QJL: 1-Bit Quantized JL Transform for KV Cache Quantization with Zero Overhead", arXiv:2406.03482.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.quantizers.digits import Digits
from codec.quantizers.implicit import Spherical
from codec.quantizers.rotations import random_gaussian, random_rotation, rows_times

GRID = 1 << 14  # angles at which the coordinate's law is tabulated
LLOYD_ITERATIONS = 20_000
LLOYD_TOLERANCE = 1e-10


class TurboQuant(Spherical):
    """Directions, with `bits` bits a dimension; nothing is learned, no data is needed.

    A digit is the level of one rotated coordinate; digits are split over codes `digits_per_code` at a time, the first coordinate
    lowest. Levels are those of Lloyd and Max for a coordinate of a uniform direction in D dimensions. What is decoded is a little
    shorter than a unit vector. The length is not coded: see `GainShape`. The gradient reaches the unit vector.

    Args:
        dim: D, at least 2.
        bits: of each coordinate, 1 to 8.
        digits_per_code: coordinates that share a code; all of them unless given.
        seed: of the rotation, which is kept in the state.
        estimator: how the gradient of the decoded vector reaches the unit vector.
    """

    rotation: Tensor  # (D, D)
    levels: Tensor  # (2^bits,) ascending

    def __init__(
        self,
        dim: int,
        bits: int,
        *,
        digits_per_code: int | None = None,
        seed: int = 0,
        estimator: nn.Module | None = None,
    ) -> None:
        super().__init__(estimator)
        if dim < 2 or not 1 <= bits <= 8:
            raise ValueError(f"need at least 2 dimensions and 1 to 8 bits, got {dim} and {bits}")
        self.digits = Digits([1 << bits] * dim, digits_per_code)
        self.dim, self.codebook_sizes = dim, self.digits.codebook_sizes
        self.register_buffer("rotation", random_rotation(dim, seed))
        self.register_buffer("levels", torch.from_numpy(coordinate_levels(dim, 1 << bits)).float())

    def choose(self, placed: Tensor) -> Tensor:
        """Nearest level of each rotated coordinate."""
        rotated = rows_times(placed, self.rotation.T)
        return self.digits.pack(torch.bucketize(rotated, (self.levels[1:] + self.levels[:-1]) / 2))

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., D)` vectors."""
        return rows_times(self.levels[self.digits.unpack(codes)], self.rotation)


class QJL(Spherical):
    """Directions by the signs of random projections, one bit a dimension, without bias: on average over matrices `<y, q>` is `<y, u>`.

    Meant for what another quantizer leaves over: `Residual` of `TurboQuant` and `GainShape` of `QJL` estimates inner products without
    the shrinkage of optimal levels, at a larger squared error. Bits are split over codes as by `TurboQuant`.

    Args:
        dim: D.
        digits_per_code: bits that share a code, at most 62; all of them unless given.
        seed: of the projections, which are kept in the state.
        estimator: how the gradient of the decoded vector reaches the unit vector.
    """

    projections: Tensor  # (D, D)

    def __init__(
        self, dim: int, *, digits_per_code: int | None = None, seed: int = 1, estimator: nn.Module | None = None
    ) -> None:
        super().__init__(estimator)
        self.digits = Digits([2] * dim, digits_per_code)
        self.dim, self.codebook_sizes = dim, self.digits.codebook_sizes
        self.register_buffer("projections", random_gaussian(dim, seed))

    def choose(self, placed: Tensor) -> Tensor:
        """Signs of the projections; zero counts as negative."""
        return self.digits.pack((rows_times(placed, self.projections.T) > 0).long())

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., D)` vectors."""
        signs = 2.0 * self.digits.unpack(codes) - 1
        return rows_times(signs, self.projections) * (math.sqrt(math.pi / 2) / self.dim)


def coordinate_levels(dim: int, count: int) -> NDArray[np.float64]:
    """Lloyd-Max levels `(count,)` of one coordinate t of a uniform direction, of density proportional to (1 - t^2)^((dim - 3) / 2).

    With t = sin(angle) the density is cos(angle)^(dim - 2), which is smooth for all `dim`; its mass is tabulated over all angles,
    or twelve standard deviations each way, and the mean over an interval follows from a closed form.
    """
    widest = min(np.pi / 2, 12 / dim**0.5)
    angles = np.linspace(-widest, widest, GRID + 1)
    density = np.cos(angles) ** (dim - 2)
    mass = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])]) * (widest / GRID)
    levels = np.interp((np.arange(count) + 0.5) / count * mass[-1], mass, np.sin(angles))
    for _ in range(LLOYD_ITERATIONS):
        edges = np.concatenate([[-1.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
        moment = -((1 - edges**2) ** ((dim - 1) / 2)) / (dim - 1)
        moved = np.diff(moment) / np.diff(np.interp(np.arcsin(edges), angles, mass))
        if np.abs(moved - levels).max() < LLOYD_TOLERANCE:
            break
        levels = moved
    return (levels - levels[::-1]) / 2
