"""Inner loops of the integer path of latents, compiled by numba.

Floats here are integers below 2^53, so sums are exact in any order, and the compiler may choose it. Planes are `(C, P)`, a
plane of P positions for each channel; rows are positions with their channels side by side. Loops that work on parts of an array
run outside the interpreter's lock.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Halves = NDArray[np.int32]
Singles = NDArray[np.float32]

EXACT_SUMS = {"reassoc", "contract", "nsz"}
TAPS = 5  # of a row of a kernel that are summed at once
BLOCK = 32  # positions whose rows stay in the nearest cache
PART_BITS = 8  # exponents are in 1/256
POWER_BITS = 24
SLOPE_BITS = 20


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy", fastmath=EXACT_SUMS)
def dense(
    inputs: Floats, weight: Floats, bias: Floats, scale: float, limit: float, slope: float, outputs: Floats
) -> None:
    """A linear layer on rows, finished as by `finish_layer`; its inner loop makes eight sums at once.

    Args:
        inputs: `(n, K)`.
        weight: `(N, K)`.
        bias: `(N,)`.
        outputs: `(n, N)`, overwritten.
    """
    count, width = inputs.shape
    most = weight.shape[0]
    for i in range(0, count, 4):
        i1, i2, i3 = min(i + 1, count - 1), min(i + 2, count - 1), min(i + 3, count - 1)
        for j in range(0, most, 2):
            j1 = min(j + 1, most - 1)
            a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = 0.0
            for k in range(width):
                first, second = weight[j, k], weight[j1, k]
                a0 += inputs[i, k] * first
                a1 += inputs[i1, k] * first
                a2 += inputs[i2, k] * first
                a3 += inputs[i3, k] * first
                b0 += inputs[i, k] * second
                b1 += inputs[i1, k] * second
                b2 += inputs[i2, k] * second
                b3 += inputs[i3, k] * second
            outputs[i, j], outputs[i, j1] = a0 + bias[j], b0 + bias[j1]
            outputs[i1, j], outputs[i1, j1] = a1 + bias[j], b1 + bias[j1]
            outputs[i2, j], outputs[i2, j1] = a2 + bias[j], b2 + bias[j1]
            outputs[i3, j], outputs[i3, j1] = a3 + bias[j], b3 + bias[j1]
        finish_layer(outputs[i : i3 + 1].ravel(), scale, limit, slope)


@njit(cache=True, nogil=True, error_model="numpy")
def gather(planes: Floats, index: Integers, limit: float, rows: Floats) -> None:
    """Planes `(C, P)` at flat positions `(n,)` to rows `(n, C)`, clamped."""
    for begin in range(0, index.size, BLOCK):
        end = min(begin + BLOCK, index.size)
        for c in range(planes.shape[0]):
            for i in range(begin, end):
                rows[i, c] = min(max(planes[c, index[i]], -limit), limit)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=EXACT_SUMS)
def neighbour_sums(planes: Floats, weight: Floats, bias: Floats, top: int, sums: Floats) -> None:
    """Correlate values and magnitudes of each channel with kernels of its own; beyond the border there are zeros.

    Args:
        planes: `(C, h, w)`.
        weight: `(2, C, k, TAPS g)`, for values and for magnitudes, k odd; columns from the k-th on are 0.
        bias: `(2, C)`.
        top: first row that is wanted.
        sums: `(2, C, rows, w)`, overwritten.
    """
    channels, height, width = planes.shape
    side, wanted = weight.shape[2], sums.shape[2]
    reach = side // 2
    line, sizes = np.zeros(width + weight.shape[3] - 1), np.zeros(width + weight.shape[3] - 1)
    for c in range(channels):
        sums[0, c], sums[1, c] = bias[0, c], bias[1, c]
        for row in range(max(0, top - reach), min(height, top + wanted + reach)):
            for column in range(width):
                line[reach + column] = planes[c, row, column]
                sizes[reach + column] = abs(planes[c, row, column])
            for i in range(max(0, row + reach - top - wanted + 1), min(side, row + reach - top + 1)):
                own, own_sizes = sums[0, c, row + reach - top - i], sums[1, c, row + reach - top - i]
                for j in range(0, weight.shape[3], TAPS):
                    _add_five(weight[0, c, i, j:], line[j:], own)
                    _add_five(weight[1, c, i, j:], sizes[j:], own_sizes)


@njit(inline="always")
def _add_five(taps: Floats, line: Floats, sums: Floats) -> None:
    a, b, c, d, e = taps[0], taps[1], taps[2], taps[3], taps[4]
    for q in range(sums.size):
        sums[q] += a * line[q] + b * line[q + 1] + c * line[q + 2] + d * line[q + 3] + e * line[q + 4]


@njit(cache=True, nogil=True, error_model="numpy")
def power(exponent: int, powers: Integers) -> int:
    """2^(exponent / 256) in 2^-24; small ones rounded down."""
    shift, part = exponent >> PART_BITS, powers[exponent & ((1 << PART_BITS) - 1)]
    return part << shift if shift >= 0 else part >> -shift


@njit(cache=True, nogil=True, error_model="numpy")
def gaussians(
    parameters: Floats,
    amplitude: Integers,
    powers: Integers,
    spec: tuple[int, int, int],
    means: Halves,
    rows: Halves,
) -> None:
    """Means and table rows of a pass.

    Args:
        parameters: `(n, 2 C)`, means and log2 scales relative to the amplitude, in 1/256.
        amplitude: `(n or 1, C)` log2 in 1/256.
        powers: see `power`.
        spec: log2 scale of row 0, the step between rows, and their number.
        means: `(C, n)`, receives them in 1/256.
        rows: `(C, n)`, receives them; 0 also for smaller scales.
    """
    count, channels = parameters.shape[0], amplitude.shape[1]
    first, step, most = spec
    alike = amplitude.shape[0] == 1
    for begin in range(0, count, BLOCK):
        for c in range(channels):
            a = amplitude[0, c]
            factor = power(a, powers)
            for i in range(begin, min(begin + BLOCK, count)):
                if not alike:
                    a = amplitude[i, c]
                    factor = power(a, powers)
                means[c, i] = (np.int64(parameters[i, c]) * factor) >> POWER_BITS
                row = (np.int64(parameters[i, channels + c]) + a - first + step // 2) // step
                rows[c, i] = min(max(row, 0), most - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def place(
    means: Halves, rows: Halves, index: Integers, positions: int, coded: Integers, certain: Integers
) -> tuple[int, int]:
    """Sort the symbols of a pass, channel by channel, into those that are coded and those whose row is 0, which are not.

    Args:
        means: `(C, n)`.
        rows: `(C, n)`.
        index: flat positions `(n,)`.
        positions: of the whole grid; symbol (c, p) has place c * positions + p.
        coded: `(3, n C)`, receives place, mean and row.
        certain: `(2, n C)`, receives place and mean.

    Returns:
        How many there are of each.
    """
    done = sure = 0
    for c in range(means.shape[0]):
        for i in range(index.size):
            if rows[c, i] > 0:
                coded[0, done], coded[1, done] = c * positions + index[i], means[c, i]
                coded[2, done] = rows[c, i]
                done += 1
            else:
                certain[0, sure], certain[1, sure] = c * positions + index[i], means[c, i]
                sure += 1
    return done, sure


@njit(cache=True, nogil=True, error_model="numpy")
def round_priced(
    values: Floats, where: Integers, means: Integers, index: Integers, rises: Floats, price: float, symbols: Integers
) -> None:
    """Integers near the distances of values from their means, those farther from 0 only where they are not too dear.

    Args:
        values: of the whole plane, in steps.
        where: flat positions `(n,)`.
        means: `(n,)` in 1/256.
        index: table row of each `(n,)`.
        rises: `(rows, m)`, by how many bits symbol i + 1 of a table is dearer than i; the last also stands for those beyond.
        price: how much nearer the farther integer must be, in steps, for each bit that it costs more.
        symbols: `(n,)`, overwritten.
    """
    for i in range(where.size):
        residual = values[where[i]] - means[i] / 256
        size = abs(residual)
        inner = np.int64(size)
        if size - inner > 0.5 + price * rises[index[i], min(inner, rises.shape[1] - 1)]:
            inner += 1
        symbols[i] = -inner if residual < 0 else inner


@njit(cache=True, nogil=True, error_model="numpy")
def settle(
    where: Integers, symbols: Integers, means: Integers, fixed_point: int, codes: Integers, latents: Integers
) -> None:
    """Write the symbols of a step, and the latents that they make, to where they belong."""
    for i in range(where.size):
        codes[where[i]] = symbols[i]
        latents[where[i]] = symbols[i] * fixed_point + means[i]


@njit(cache=True, nogil=True, error_model="numpy")
def take_in(latents: Integers, amplitude: Integers, index: Integers, powers: Integers, values: Floats) -> None:
    """Normalise dequantised values of a pass.

    Args:
        latents: `(C, P)` in 1/256 of a step.
        amplitude: `(n or 1, C)`.
        index: flat positions `(n,)`.
        powers: see `power`.
        values: `(C, P)` in 1/256, overwritten at these positions.
    """
    alike = amplitude.shape[0] == 1
    for c in range(latents.shape[0]):
        factor = power(-amplitude[0, c], powers)
        for i in range(index.size):
            if not alike:
                factor = power(-amplitude[i, c], powers)
            values[c, index[i]] = (latents[c, index[i]] * factor) >> POWER_BITS


@njit(cache=True, nogil=True, error_model="numpy")
def dequantised(latents: Integers, factors: Floats, values: Singles) -> None:
    """`(C, P)` integers times a factor of each channel `(C, 1)`, or of each position too `(C, P)`."""
    alike = factors.shape[1] == 1
    for c in range(latents.shape[0]):
        factor = factors[c, 0]
        for p in range(latents.shape[1]):
            values[c, p] = latents[c, p] * (factor if alike else factors[c, p])
