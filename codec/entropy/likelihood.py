"""How latents are quantised and what that costs: a Gaussian about a predicted mean, in floats and in frozen tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.coding import FrozenTables
from codec.entropy.base import Rows, Step
from codec.entropy.gaussian import gaussian_bits, lower_bound
from codec.entropy.kernels import gaussians, place
from codec.entropy.levels import fractional_powers, scaled
from codec.entropy.rounding import Rounding
from codec.entropy.tables import SCALE_FIRST, StoredTables, nearest_row, scale_tables

LEAST_LOG2_SCALE = SCALE_FIRST / 256


@dataclass(frozen=True)
class Quantised:
    """Quantised values of some shape and the bits of each."""

    values: Tensor
    bits: Tensor


@dataclass(frozen=True)
class Spot:
    """Where a pass codes.

    Attributes:
        plane: of the group.
        index: int64 `(n,)` flat positions.
        positions: of the whole grid; the symbol of channel c at position p has place c * positions + p.
    """

    plane: int
    index: NDArray[np.int64]
    positions: int

    def places(self, channels: int) -> NDArray[np.int64]:
        """`(n, channels)`."""
        return self.index[:, None] + np.arange(channels) * self.positions


class Likelihood(Protocol):
    """How a prior quantises and codes its groups; a module.

    Attributes:
        parameters_per_channel: how many the networks give it.
    """

    parameters_per_channel: int

    def __call__(self, y: Tensor, parameters: Tensor, amplitude: Tensor, rounding: Rounding) -> Quantised:
        """Floats: y `(…, g)`, parameters `(…, parameters_per_channel g)`, log2 amplitudes `(…, g)`."""

    def coding(self, spot: Spot, amplitude: NDArray[np.int64]) -> "Coding":
        """How the symbols at a spot are coded, at log2 amplitudes `(n or 1, g)` in 1/256."""

    def exact(
        self, parameters: NDArray[np.int64], amplitude: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Means in 1/256 of a step `(…, g)`, and what chooses or makes the tables."""


class Coding(Protocol):
    """The symbols of a pass, while their parameters come in."""

    def take(self, first: int, last: int, parameters: NDArray[np.float64]) -> None:
        """Integer-valued parameters `(last - first, parameters_per_channel g)` of some positions; from any thread."""

    def steps(self) -> Iterator[Step]:
        """What to code, when all are there."""


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

    def coding(self, spot: Spot, amplitude: NDArray[np.int64]) -> "GaussianCoding":
        """By the frozen tables."""
        return GaussianCoding(self.tables.tables, spot, amplitude)

    def exact(
        self, parameters: NDArray[np.int64], amplitude: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Means in 1/256 of a step, and rows, of integer parameters `(…, 2 g)`."""
        mean, log2_scale = np.split(parameters, 2, axis=-1)
        return scaled(mean, amplitude), nearest_row(log2_scale + amplitude)


class GaussianCoding:
    """Channel by channel. Where the scale is that of the first table, less than a ninth of a step, the code is 0 for sure.

    Args:
        tables: a row for each scale.
        spot: where.
        amplitude: log2 amplitudes `(n or 1, C)` in 1/256.
    """

    def __init__(self, tables: FrozenTables, spot: Spot, amplitude: NDArray[np.int64]) -> None:
        self._tables, self._spot, self._amplitude = tables, spot, amplitude
        self._means, self._rows = np.empty((2, amplitude.shape[1], len(spot.index)), np.int32)

    def take(self, first: int, last: int, parameters: NDArray[np.float64]) -> None:
        """Means and rows of these positions."""
        own = self._amplitude if len(self._amplitude) == 1 else self._amplitude[first:last]
        gaussians(parameters, own, fractional_powers(), self._means[:, first:last], self._rows[:, first:last])

    def steps(self) -> Iterator[Step]:
        """One."""
        count = self._means.size
        coded, certain = np.empty((3, count), np.int64), np.empty((2, count), np.int64)
        done, sure = place(self._means, self._rows, self._spot.index, self._spot.positions, coded, certain)
        where, expected, index = coded[:, :done]
        yield Step(self._spot.plane, where, Rows(index, self._tables), means=expected, certain=certain[:, :sure])
