"""Inner loops of the integer path of latents, compiled by numba.

Floats here are integers below 2^53, so sums are exact in any order, and the compiler may choose it. Planes are `(C, P)`, a
plane of P positions for each channel; rows are positions with their channels side by side. Loops that work on parts of an array
run outside the interpreter's lock.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from codec.entropy.tables import SCALE_FIRST, SCALE_ROWS, SCALE_STEP

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Halves = NDArray[np.int32]
Singles = NDArray[np.float32]

EXACT_SUMS = {"reassoc", "contract", "nsz"}
BLOCK = 16  # positions whose rows stay in the nearest cache
PAD = 8  # zeros beside the rows of planes whose neighbours are summed
LARGEST_KERNEL = 13
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
    """A linear layer on rows, finished as by `finish_layer`; its inner loop makes sixteen sums at once.

    Args:
        inputs: `(n, K)`.
        weight: `(N, K)`.
        bias: `(N,)`.
        outputs: `(n, N)`, overwritten.
    """
    count, width = inputs.shape
    most = weight.shape[0]
    for begin in range(0, count, BLOCK):
        end = min(begin + BLOCK, count)
        for j in range(0, most, 4):
            j1, j2, j3 = min(j + 1, most - 1), min(j + 2, most - 1), min(j + 3, most - 1)
            for i in range(begin, end, 4):
                i1, i2, i3 = min(i + 1, end - 1), min(i + 2, end - 1), min(i + 3, end - 1)
                a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = 0.0
                for k in range(width):
                    w0, w1, w2, w3 = weight[j, k], weight[j1, k], weight[j2, k], weight[j3, k]
                    a, b, c, d = inputs[i, k], inputs[i1, k], inputs[i2, k], inputs[i3, k]
                    a0, a1, a2, a3 = a0 + a * w0, a1 + a * w1, a2 + a * w2, a3 + a * w3
                    b0, b1, b2, b3 = b0 + b * w0, b1 + b * w1, b2 + b * w2, b3 + b * w3
                    c0, c1, c2, c3 = c0 + c * w0, c1 + c * w1, c2 + c * w2, c3 + c * w3
                    d0, d1, d2, d3 = d0 + d * w0, d1 + d * w1, d2 + d * w2, d3 + d * w3
                p0, p1, p2, p3 = bias[j], bias[j1], bias[j2], bias[j3]
                outputs[i, j], outputs[i, j1], outputs[i, j2], outputs[i, j3] = a0 + p0, a1 + p1, a2 + p2, a3 + p3
                outputs[i1, j], outputs[i1, j1], outputs[i1, j2], outputs[i1, j3] = b0 + p0, b1 + p1, b2 + p2, b3 + p3
                outputs[i2, j], outputs[i2, j1], outputs[i2, j2], outputs[i2, j3] = c0 + p0, c1 + p1, c2 + p2, c3 + p3
                outputs[i3, j], outputs[i3, j1], outputs[i3, j2], outputs[i3, j3] = d0 + p0, d1 + p1, d2 + p2, d3 + p3
        finish_layer(outputs[begin:end].ravel(), scale, limit, slope)


@njit(cache=True, nogil=True, error_model="numpy")
def split_planes(whole: Floats, first: int, planes: Floats) -> None:
    """Write planes `(C, h, width)` to split ones `(phases, all, h, columns)`, from plane `first` on."""
    phases = planes.shape[0]
    channels, height, width = whole.shape
    for phase in range(phases):
        for c in range(channels):
            for row in range(height):
                source, line, start = whole[c, row], planes[phase, first + c, row], (row + phase) % phases
                for q in range((width - start + phases - 1) // phases):
                    line[PAD + q] = source[phases * q + start]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=EXACT_SUMS)
def neighbour_sums(
    planes: Floats, first: int, known_only: bool, phase: int, row: int, weight: Floats, bias: Floats, sums: Floats
) -> None:
    """Correlate values and magnitudes of each channel with kernels of its own, at the positions of a phase in one row.

    Beyond the border there are zeros. With `known_only` positions count only where the first of two phases has coded them.

    Args:
        planes: split `(phases, all, h, columns)`, with `PAD` zeros at both ends of a row.
        first: of the C planes.
        weight: `(2, C, k, k)`, for values and for magnitudes, k odd and at most `LARGEST_KERNEL`.
        bias: `(2, C)`.
        sums: `(2 C, columns)`, overwritten.
    """
    phases, _, height, padded = planes.shape
    _, channels, side, _ = weight.shape
    reach, shift, columns = side // 2, (row + phase) % phases, padded - 2 * PAD
    for c in range(channels):
        own, own_sizes = sums[c], sums[channels + c]
        for q in range(columns):
            own[q], own_sizes[q] = bias[0, c], bias[1, c]
        for i in range(max(0, reach - row), min(side, height + reach - row)):
            other = row + i - reach
            for there in range(1 if known_only else phases):
                first_tap = (
                    there - other - shift + reach
                ) % phases  # in a row of the kernel, those that meet this phase
                for j in range(first_tap, side, 3 * phases):
                    away = (shift + j - reach) // phases
                    line = planes[there, first + c, other, PAD + away :]
                    j1, j2 = j + phases, j + 2 * phases
                    w0, v0 = weight[0, c, i, j], weight[1, c, i, j]
                    w1, v1 = (weight[0, c, i, j1], weight[1, c, i, j1]) if j1 < side else (0.0, 0.0)
                    w2, v2 = (weight[0, c, i, j2], weight[1, c, i, j2]) if j2 < side else (0.0, 0.0)
                    for q in range(columns):
                        x, y, z = line[q], line[q + 1], line[q + 2]
                        own[q] += w0 * x + w1 * y + w2 * z
                        own_sizes[q] += v0 * abs(x) + v1 * abs(y) + v2 * abs(z)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=EXACT_SUMS)
def pass_rows(
    planes: Floats,
    phase: int,
    lines: tuple[int, int],
    reads: Integers,
    near: tuple[int, int, bool, float],
    near_weight: Floats,
    near_bias: Floats,
    beside: Floats,
    widths: Integers,
    weights: Floats,
    biases: Floats,
    endings: Floats,
    limit: float,
    outputs: Floats,
) -> None:
    """A pass over some rows of a grid: its inputs put side by side, and linear layers on them.

    Inputs are planes as they are, then neighbours' sums of values and of magnitudes, then what is there already.

    Args:
        planes: split `(phases, C, h, columns)`, with `PAD` zeros at both ends of a row.
        phase: which positions.
        lines: first row, and the one after the last.
        reads: planes that are read as they are.
        near: first plane of which sums are made, how many planes, whether of those known in this group only; scale of the sums.
        near_weight, near_bias: see `neighbour_sums`.
        beside: `(h columns, E)`.
        widths: `(layers + 1,)` of inputs, hidden layers and outputs.
        weights: all layers' `(N, K)`, flat.
        biases: all layers', flat.
        endings: `(layers, 3)`: scale, limit and slope, see `finish_layer`.
        limit: of neighbours' sums.
        outputs: `(rows columns, N)`, overwritten.
    """
    columns = planes.shape[3] - 2 * PAD
    first, size, known_only, scale = near
    sums = np.empty((2 * size, columns))
    most = columns * widths.max()
    inputs, hidden, spare = np.empty(most), np.empty(most), np.empty(most)
    rows = inputs[: columns * widths[0]].reshape(columns, widths[0])
    for line in range(lines[0], lines[1]):
        for k in range(reads.size):
            source = planes[phase, reads[k], line]
            for q in range(columns):
                rows[q, k] = source[PAD + q]
        done = reads.size
        if size:
            neighbour_sums(planes, first, known_only, phase, line, near_weight, near_bias, sums)
            finish_layer(sums.ravel(), scale, limit, -1.0)
            for k in range(2 * size):
                for q in range(columns):
                    rows[q, done + k] = sums[k, q]
            done += 2 * size
        for q in range(columns):
            rows[q, done:] = beside[line * columns + q]
        signal, weight_at, bias_at, layers = rows, 0, 0, len(widths) - 1
        for layer in range(layers):
            wide, out = widths[layer], widths[layer + 1]
            weight = weights[weight_at : weight_at + wide * out].reshape(out, wide)
            bias = biases[bias_at : bias_at + out]
            found = outputs[(line - lines[0]) * columns : (line + 1 - lines[0]) * columns]
            if layer < layers - 1:
                found = hidden[: columns * out].reshape(columns, out)
                hidden, spare = spare, hidden
            dense(signal, weight, bias, endings[layer, 0], endings[layer, 1], endings[layer, 2], found)
            signal, weight_at, bias_at = found, weight_at + wide * out, bias_at + out


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
    means: Halves,
    rows: Halves,
) -> None:
    """Means and table rows of a pass.

    Args:
        parameters: `(n, 2 C)`, means and log2 scales relative to the amplitude, in 1/256.
        amplitude: `(n or 1, C)` log2 in 1/256.
        powers: see `power`.
        means: `(C, n)`, receives them in 1/256.
        rows: `(C, n)`, receives them; 0 also for smaller scales.
    """
    count, channels = parameters.shape[0], amplitude.shape[1]
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
                row = (np.int64(parameters[i, channels + c]) + a - SCALE_FIRST + SCALE_STEP // 2) // SCALE_STEP
                rows[c, i] = min(max(row, 0), SCALE_ROWS - 1)


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
            where, is_coded = (
                c * positions + index[i],
                rows[c, i] > 0,
            )  # both are written, as a branch would be guessed wrong
            coded[0, done], coded[1, done], coded[2, done] = where, means[c, i], rows[c, i]
            certain[0, sure], certain[1, sure] = where, means[c, i]
            done, sure = done + is_coded, sure + (not is_coded)
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
def expect(certain: Integers, latents: Integers) -> None:
    """Write means to places, `(2, n)` of place and mean."""
    for i in range(certain.shape[1]):
        latents[certain[0, i]] = certain[1, i]


@njit(cache=True, nogil=True, error_model="numpy")
def take_in(
    latents: Integers, amplitude: Integers, powers: Integers, place: tuple[int, int, int], limit: float, planes: Floats
) -> None:
    """Normalise dequantised values of a pass.

    Args:
        latents: `(C, h width)` in 1/256 of a step.
        amplitude: `(n or 1, C)`.
        powers: see `power`.
        place: first of the C planes, phase whose positions are taken, width of the grid.
        limit: to either side.
        planes: split `(phases, all, h, columns)` in 1/256, with `PAD` zeros at both ends of a row; overwritten there.
    """
    phases, _, height, _ = planes.shape
    start, phase, width = place
    alike = amplitude.shape[0] == 1
    for c in range(latents.shape[0]):
        factor = power(-amplitude[0, c], powers)
        done = 0
        for row in range(height):
            line, first = planes[phase, start + c, row], (row + phase) % phases
            for q in range((width - first + phases - 1) // phases):
                if not alike:
                    factor = power(-amplitude[done, c], powers)
                    done += 1
                value = (latents[c, row * width + phases * q + first] * factor) >> POWER_BITS
                line[PAD + q] = min(max(np.float64(value), -limit), limit)


@njit(cache=True, nogil=True, error_model="numpy")
def dequantised(latents: Integers, factors: Floats, values: Singles) -> None:
    """`(C, P)` integers times a factor of each channel `(C, 1)`, or of each position too `(C, P)`."""
    alike = factors.shape[1] == 1
    for c in range(latents.shape[0]):
        factor = factors[c, 0]
        for p in range(latents.shape[1]):
            values[c, p] = latents[c, p] * (factor if alike else factors[c, p])
