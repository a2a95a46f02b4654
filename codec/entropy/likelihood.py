"""How latents are quantised and what that costs: a Gaussian about a predicted mean, in floats and in frozen tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy.base import Rows, Step
from codec.entropy.gaussian import gaussian_bits, lower_bound
from codec.entropy.levels import scaled
from codec.entropy.rounding import Rounding
from codec.entropy.tables import SCALE_FIRST, StoredTables, nearest_row, scale_tables

LEAST_LOG2_SCALE = SCALE_FIRST / 256


@dataclass(frozen=True)
class Quantised:
    """Quantised values of some shape and the bits of each."""

    values: Tensor
    bits: Tensor


class Likelihood(Protocol):
    """How a prior quantises and codes its groups; a module.

    Attributes:
        parameters_per_channel: how many the networks give it.
    """

    parameters_per_channel: int

    def __call__(self, y: Tensor, parameters: Tensor, amplitude: Tensor, rounding: Rounding) -> Quantised:
        """Floats: y `(…, g)`, parameters `(…, parameters_per_channel g)`, log2 amplitudes `(…, g)`."""

    def steps(
        self, plane: int, where: NDArray[np.int64], parameters: NDArray[np.int64], amplitude: NDArray[np.int64]
    ) -> Iterator[Step]:
        """Integers in 1/256, of positions `(n, g)`."""

    def exact(
        self, parameters: NDArray[np.int64], amplitude: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Means in 1/256 of a step `(…, g)`, and what chooses or makes the tables."""


def quantise_gaussian(y: Tensor, mean: Tensor, log2_scale: Tensor, rounding: Rounding) -> Quantised:
    """Round y to a whole number of steps from its mean; all shapes alike.

    Args:
        y: continuous, in steps.
        mean: in steps.
        log2_scale: in steps; bounded from below as the tables are.
        rounding: of what is left of y.
    """
    bounded = lower_bound(log2_scale, LEAST_LOG2_SCALE)
    rounded = rounding(y - mean, lambda residual: gaussian_bits(residual, bounded))
    return Quantised(rounded.values + mean, gaussian_bits(rounded.counted, bounded))


class GaussianLikelihood(nn.Module):
    """Two parameters a channel, mean and log2 scale relative to the amplitude; 64 frozen tables."""

    parameters_per_channel = 2

    def __init__(self) -> None:
        super().__init__()
        self.tables = StoredTables(scale_tables())

    def forward(self, y: Tensor, parameters: Tensor, amplitude: Tensor, rounding: Rounding) -> Quantised:
        """Quantise y `(…, g)` by parameters `(…, 2 g)` at log2 amplitudes `(…, g)`."""
        mean, log2_scale = parameters.float().chunk(2, -1)
        return quantise_gaussian(y, mean * torch.exp2(amplitude), log2_scale + amplitude, rounding)

    def steps(
        self, plane: int, where: NDArray[np.int64], parameters: NDArray[np.int64], amplitude: NDArray[np.int64]
    ) -> Iterator[Step]:
        """How symbols at `where` `(n, g)` are coded by integer parameters `(n, 2 g)` and amplitudes `(n, g)`, in 1/256."""
        means, rows = self.exact(parameters, amplitude)
        yield Step(plane, where.ravel(), Rows(rows.ravel(), self.tables.tables), means=means.ravel())

    def exact(
        self, parameters: NDArray[np.int64], amplitude: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Means in 1/256 of a step, and rows, of integer parameters `(…, 2 g)`."""
        mean, log2_scale = np.split(parameters, 2, axis=-1)
        return scaled(mean, amplitude), nearest_row(log2_scale + amplitude)
