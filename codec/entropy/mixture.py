"""Latents under a mixture of Gaussians: each symbol has an integer table of its own, built where it is coded.

Cheng, Sun, Takeuchi, Katto 2020, "Learned image compression with discretized Gaussian mixture likelihoods and attention
modules", arXiv:2001.01568. A frozen integer table of the normal distribution, integer softmax weights and one division make
the frequencies, so every machine builds the same. A symbol is the distance from the mean of the component with the largest
weight; its table covers what the components that matter cover, and escapes the rest.
"""

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.coding import FrozenTables
from codec.entropy.base import FIXED_POINT, Rows, Step
from codec.entropy.gaussian import gaussian_bits, lower_bound
from codec.entropy.kernels import POWER_BITS
from codec.entropy.levels import power_of_two, scaled
from codec.entropy.likelihood import LEAST_LOG2_SCALE, Quantised, Spot
from codec.entropy.rounding import Rounding
from codec.entropy.tables import SCALE_FIRST, SCALE_ROWS, SCALE_STEP, frequencies_from_logits

Integers = NDArray[np.int64]

PRECISION = 16
WEIGHT_BITS = 12  # weights of the components sum to 2^12
LEAST_WEIGHT = 4  # a lighter component does not widen the table
MASS_BITS = 28  # of the table of the normal distribution
CELL_BITS, FRACTION_BITS = 7, 9  # its entries are 1/128 apart, and interpolated at 1/512 of that
REACH = 6  # standard deviations that it covers to either side
FARTHEST_SYMBOL = 1023
FARTHEST_MEAN = 1 << 20  # in 1/256, from the dominant one
ENTRIES_AT_ONCE = 1 << 20
LARGEST_LOG_SCALE = SCALE_FIRST + SCALE_STEP * (SCALE_ROWS - 1)


class MixtureLikelihood(nn.Module):
    """For each channel K logits of weights, K means and K log2 scales relative to the amplitude.

    Components start apart, since equal ones would stay equal: the first narrow at 0, the others beside it.

    Args:
        components: K.
    """

    normal: Tensor  # int32 (2 REACH 2^CELL_BITS + 1,): the normal distribution function in 2^-MASS_BITS

    def __init__(self, components: int = 3) -> None:
        super().__init__()
        if components < 2:
            raise ValueError(f"a mixture needs at least 2 components, got {components}")
        self.components, self.parameters_per_channel = components, 3 * components
        sides = [(-1) ** k * ((k + 1) // 2) * FIXED_POINT // 2 for k in range(components)]
        widths = [-FIXED_POINT if k == 0 else 0 for k in range(components)]
        self._start = np.array([[0] * components, sides, widths], np.int64)  # in 1/256
        self.register_buffer("normal", _normal_table())

    def forward(self, y: Tensor, parameters: Tensor, amplitude: Tensor, rounding: Rounding) -> Quantised:
        """Quantise y `(…, g)` by parameters `(…, 3 K g)` at log2 amplitudes `(…, g)`; rounding as in `quantise_gaussian`."""
        start = torch.from_numpy(self._start).to(y) / FIXED_POINT
        parts = parameters.float().unflatten(-1, (3, self.components, -1)) + start[..., None]
        logits, mean, log2_scale = parts.unbind(-3)
        mean = mean * torch.exp2(amplitude)[..., None, :]
        log2_scale = lower_bound(log2_scale + amplitude[..., None, :], LEAST_LOG2_SCALE)
        centre = mean.gather(-2, logits.argmax(-2, keepdim=True))[..., 0, :]

        def bits(values: Tensor) -> Tensor:
            nats = gaussian_bits(values[..., None, :] - mean, log2_scale) * -math.log(2)
            return torch.logsumexp(torch.log_softmax(logits, -2) + nats, -2) / -math.log(2)

        rounded = rounding(y - centre, lambda residual: bits(residual + centre))
        return Quantised(rounded.values + centre, bits(rounded.counted + centre))

    def coding(self, spot: Spot, amplitude: Integers) -> "MixtureCoding":
        """By tables of their own."""
        return MixtureCoding(self, spot, amplitude)

    def exact(self, parameters: Integers, amplitude: Integers) -> tuple[Integers, Integers]:
        """Means of the dominant components in 1/256 of a step `(…, g)`, and what the tables need `(…, 3, K, g)`.

        That is: logits, distances of the means from the dominant one, and log2 scales.
        """
        shape = (*parameters.shape[:-1], 3, self.components, amplitude.shape[-1])
        logits, means, log_scales = np.moveaxis(parameters.reshape(shape) + self._start[..., None], -3, 0)
        means = scaled(means, amplitude[..., None, :])
        centre = np.take_along_axis(means, logits.argmax(-2)[..., None, :], -2)
        offsets = np.clip(means - centre, -FARTHEST_MEAN, FARTHEST_MEAN)
        scales = np.clip(log_scales + amplitude[..., None, :], SCALE_FIRST, LARGEST_LOG_SCALE)
        return centre[..., 0, :], np.stack([logits, offsets, scales], -3)


class MixtureCoding:
    """Position by position, each symbol with a table of its own.

    Args:
        likelihood: that makes them.
        spot: where.
        amplitude: log2 amplitudes `(n or 1, g)` in 1/256.
    """

    def __init__(self, likelihood: MixtureLikelihood, spot: Spot, amplitude: Integers) -> None:
        self._likelihood, self._spot, self._amplitude = likelihood, spot, amplitude
        width = likelihood.parameters_per_channel * amplitude.shape[1]
        self._parameters = np.empty((len(spot.index), width), np.int64)

    def take(self, first: int, last: int, parameters: NDArray[np.float64]) -> None:
        """Keep them."""
        self._parameters[first:last] = parameters

    def steps(self) -> Iterator[Step]:
        """As many as keep the tables small."""
        components, spot = self._likelihood.components, self._spot
        means, parts = self._likelihood.exact(self._parameters, self._amplitude)
        where, normal = spot.places(self._amplitude.shape[1]), self._likelihood.normal.cpu().numpy()
        tables = MixtureTables(*np.moveaxis(parts, -1, 1).reshape(-1, 3, components).transpose(1, 0, 2))
        for part in tables.portions():
            rows = Rows(np.arange(part.stop - part.start), tables.frozen(part, normal))
            yield Step(spot.plane, where.ravel()[part], rows, means=means.ravel()[part])


class MixtureTables:
    """Tables of n symbols.

    Args:
        logits: `(n, K)` in 1/256 nat.
        offsets: `(n, K)` means in 1/256.
        log_scales: `(n, K)` log2 in 1/256.
    """

    def __init__(self, logits: Integers, offsets: Integers, log_scales: Integers) -> None:
        self.weights, self.offsets = frequencies_from_logits(logits, WEIGHT_BITS), offsets
        self._inverse = power_of_two(-log_scales)
        reach = (power_of_two(log_scales + 2 * FIXED_POINT) >> POWER_BITS) + 1  # four standard deviations
        matters = self.weights >= np.minimum(LEAST_WEIGHT, self.weights.max(1, keepdims=True))
        low = np.where(matters, (offsets >> 8) - reach, 0).min(1)
        high = np.where(matters, -(-offsets >> 8) + reach, 0).max(1)
        self.low = np.maximum(low, -FARTHEST_SYMBOL)
        self.sizes = np.minimum(high, FARTHEST_SYMBOL) - self.low + 2  # with the escape

    def portions(self) -> list[slice]:
        """The symbols in order, cut so that the tables of a portion stay small."""
        cuts = np.flatnonzero(np.diff(np.cumsum(self.sizes) // ENTRIES_AT_ONCE)) + 1
        edges = [0, *cuts.tolist(), len(self.sizes)]
        return [slice(first, last) for first, last in pairwise(edges) if last > first]

    def frozen(self, part: slice, normal: NDArray[np.int32]) -> FrozenTables:
        """One table for each symbol of a portion."""
        low, sizes = self.low[part], self.sizes[part]
        frequencies = np.empty(int(sizes.sum()), np.uint32)
        _fill(low, sizes, self.weights[part], self.offsets[part], self._inverse[part], normal, frequencies)
        return SingleUseTables(frequencies, sizes, low, PRECISION, has_escape=True)


class SingleUseTables(FrozenTables):
    """Tables that are looked into once: the decoder searches from the first entry, and no buckets are made."""

    bucket_bits = 0

    @cached_property
    def rises(self) -> NDArray[np.float64]:
        """`(T, 1)`: none, since these tables are not symmetric about 0; the encoder takes the nearest integer."""
        return np.zeros((len(self.sizes), 1))

    @cached_property
    def buckets(self) -> NDArray[np.uint32]:
        """`(T,)`: the first entry of each table."""
        return self.starts.astype(np.uint32)


@njit(cache=True, error_model="numpy")
def _fill(low, sizes, weights, offsets, inverse, normal, frequencies):  # type: ignore[no-untyped-def]
    """Masses of the unit intervals, weighted and summed, then brought to 2^PRECISION with at least 1 for each.

    Everything fits int64: edges are below 2^21 and inverse scales below 2^28; masses sum to 2^(MASS_BITS + WEIGHT_BITS).
    """
    shift = 8 + POWER_BITS - CELL_BITS - FRACTION_BITS
    farthest = REACH << (CELL_BITS + FRACTION_BITS)
    whole = 1 << (MASS_BITS + WEIGHT_BITS)
    masses = np.empty(sizes.max(), np.int64)
    start = 0
    for i in range(len(low)):
        size = sizes[i]
        masses[:size] = 0
        for k in range(weights.shape[1]):
            below = 0
            for x in range(size):
                edge = ((low[i] + x) * 256 - 128 - offsets[i, k]) * inverse[i, k] >> shift
                edge = min(max(edge, -farthest), farthest - 1) + farthest
                cell, fraction = edge >> FRACTION_BITS, edge & ((1 << FRACTION_BITS) - 1)
                here = np.int64(normal[cell])
                upper = here + ((np.int64(normal[cell + 1]) - here) * fraction >> FRACTION_BITS)
                if x > 0:
                    masses[x - 1] += weights[i, k] * (upper - below)
                below = upper
        inside, largest = 0, 0
        for x in range(size - 1):
            inside += masses[x]
            if masses[x] > masses[largest]:
                largest = x
        masses[size - 1] = whole - inside
        left = (1 << PRECISION) - size
        given = 0
        for x in range(size):
            frequency = 1 + (masses[x] * left >> (MASS_BITS + WEIGHT_BITS))
            frequencies[start + x] = frequency
            given += frequency
        frequencies[start + largest] += (1 << PRECISION) - given
        start += size


def _normal_table() -> Tensor:
    """Made from floats: a model stores the integers and never makes them again."""
    cells = range(-REACH << CELL_BITS, (REACH << CELL_BITS) + 1)
    shares = [0.5 * math.erfc(-cell / (math.sqrt(2) * (1 << CELL_BITS))) for cell in cells]
    return torch.tensor([round(share * (1 << MASS_BITS)) for share in shares], dtype=torch.int32)
