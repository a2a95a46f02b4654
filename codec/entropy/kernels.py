"""Inner loops of the integer path of latents, compiled by numba.

Floats here are integers below 2^53, so sums are exact in any order. Rows are positions, channels are innermost.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PART_BITS = 8  # exponents are in 1/256
POWER_BITS = 24
SLOPE_BITS = 20


@njit(cache=True, error_model="numpy")
def finish_layer(sums: Floats, scale: float, limit: float, slope: float) -> None:
    """Divide flat sums by a power of two, halves up; clamp; with `slope` not negative, rectify by slope / 2^20, rounded down."""
    for i in range(sums.size):
        value = np.floor(sums[i] * scale + 0.5) if scale < 1 else sums[i] * scale
        value = min(max(value, -limit), limit)
        if value < 0 and slope >= 0:
            value = np.floor(value * slope * 2.0**-SLOPE_BITS)
        sums[i] = value


@njit(cache=True, error_model="numpy")
def depthwise(padded: Floats, weight: Floats, bias: Floats, sums: Floats) -> None:
    """Correlate each channel with its own kernel.

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


@njit(cache=True, error_model="numpy")
def neighbour_sums(
    values: Floats, first: int, index: Integers, width: int, weight: Floats, bias: Floats, odd_only: bool, sums: Floats
) -> None:
    """Depthwise sums over values and magnitudes of some channels, at some positions.

    Args:
        values: `(P, M)`, all positions of a grid that is `width` wide.
        first: of the channels that are looked at.
        index: flat positions `(n,)`.
        weight: `(k k, 2 C)`, for values and then for magnitudes.
        bias: `(2 C,)`.
        odd_only: neighbours at an even distance are unknown, hence zero, and left out.
        sums: `(n, 2 C)`, overwritten.
    """
    side, channels, height = int(np.sqrt(weight.shape[0])), sums.shape[1] // 2, values.shape[0] // width
    reach = side // 2
    for i in range(index.size):
        row, column, line = index[i] // width, index[i] % width, sums[i]
        line[:] = bias
        for tap in range(side * side):
            down, right = tap // side - reach, tap % side - reach
            inside = 0 <= row + down < height and 0 <= column + right < width
            if not inside or (odd_only and (down + right) % 2 == 0):
                continue
            source, factors = values[(row + down) * width + column + right], weight[tap]
            for c in range(channels):
                value = source[first + c]
                line[c] += factors[c] * value
                line[channels + c] += factors[channels + c] * abs(value)


@njit(cache=True, error_model="numpy")
def power(exponent: int, powers: Integers) -> int:
    """2^(exponent / 256) in 2^-24; small ones rounded down."""
    shift, part = exponent >> PART_BITS, powers[exponent & ((1 << PART_BITS) - 1)]
    return part << shift if shift >= 0 else part >> -shift


@njit(cache=True, error_model="numpy")
def place_gaussians(
    parameters: Floats,
    amplitude: Integers,
    index: Integers,
    positions: int,
    powers: Integers,
    rows: tuple[int, int, int],
    coded: Integers,
    certain: Integers,
) -> tuple[int, int]:
    """Means and table rows of a pass, channel by channel: those that are coded, and those whose row is 0, which are not.

    Args:
        parameters: `(n, 2 C)`, means and log2 scales relative to the amplitude, in 1/256.
        amplitude: `(n or 1, C)` log2 in 1/256.
        index: flat positions `(n,)`.
        positions: of the whole grid; symbol (c, p) has place c * positions + p.
        powers: see `power`.
        rows: log2 scale of row 0, the step between rows, and their number.
        coded: `(3, n C)`, receives place, mean and row.
        certain: `(2, n C)`, receives place and mean.

    Returns:
        How many there are of each.
    """
    count, channels = parameters.shape[0], amplitude.shape[1]
    first, step, most = rows
    done = sure = 0
    for c in range(channels):
        for i in range(count):
            a = amplitude[i if amplitude.shape[0] > 1 else 0, c]
            mean = (np.int64(parameters[i, c]) * power(a, powers)) >> POWER_BITS
            row = (np.int64(parameters[i, channels + c]) + a - first + step // 2) // step
            if row > 0:
                coded[0, done], coded[1, done] = c * positions + index[i], mean
                coded[2, done] = min(row, most - 1)
                done += 1
            else:
                certain[0, sure], certain[1, sure] = c * positions + index[i], mean
                sure += 1
    return done, sure


@njit(cache=True, error_model="numpy")
def take_in(
    latents: Integers, amplitude: Integers, index: Integers, powers: Integers, first: int, values: Floats
) -> None:
    """Normalise dequantised values of a pass into the state.

    Args:
        latents: `(C, P)` in 1/256 of a step.
        amplitude: `(n or 1, C)`.
        index: flat positions `(n,)`.
        powers: see `power`.
        first: channel of the state that receives the first.
        values: `(P, M)` in 1/256.
    """
    for i in range(index.size):
        row = i if amplitude.shape[0] > 1 else 0
        for c in range(latents.shape[0]):
            factor = power(-amplitude[row, c], powers)
            values[index[i], first + c] = (latents[c, index[i]] * factor) >> POWER_BITS
