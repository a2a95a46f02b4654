"""Inner loops of block motion, compiled by numba: interpolation between pixels, overlapped blocks, and search.

Vectors are `(down, right)` in quarter pixels: a block of the picture looks like the reference moved by that much. References
carry a margin of repeated border pixels on every side, so that no vector leads outside.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

UNIT = 4  # vector steps a pixel
TAPS, BEFORE = 8, 3  # of the interpolation filter, and how many of them lie before the pixel
# Luma filters of HEVC (Ugur et al. 2013, "Motion compensated prediction and interpolation filter design in H.265/HEVC").
FILTERS = np.array(
    [
        [0, 0, 0, 64, 0, 0, 0, 0],
        [-1, 4, -10, 58, 17, -5, 1, 0],
        [-1, 4, -11, 40, 40, -11, 4, -1],
        [0, 1, -5, 17, 58, -10, 4, -1],
    ],
    np.float32,
) / np.float32(64)


@njit(cache=True, nogil=True)
def interpolate(source, top, left, down, right, values, rows):  # type: ignore[no-untyped-def]
    """values `(n, m)` = the source from row `top` and column `left` on, moved by `(down, right)` quarter pixels.

    Args:
        source: `(H, W)` with its margin.
        top, left: of the unmoved part, in the source.
        down, right: the vector.
        values: overwritten.
        rows: `(n + TAPS - 1, m)`, used on the way.
    """
    count, width = values.shape
    first, start = top + (down >> 2), left + (right >> 2)
    across, along = FILTERS[right & 3], FILTERS[down & 3]
    if right & 3 == 0 and down & 3 == 0:
        for i in range(count):
            for j in range(width):
                values[i, j] = source[first + i, start + j]
        return
    for i in range(count + TAPS - 1):
        line = source[first + i - BEFORE]
        for j in range(width):
            rows[i, j] = line[start + j]
        if right & 3:
            for j in range(width):
                total = np.float32(0)
                for k in range(TAPS):
                    total += across[k] * line[start + j + k - BEFORE]
                rows[i, j] = total
    for i in range(count):
        for j in range(width):
            values[i, j] = np.float32(0)
        for k in range(TAPS):
            factor = along[k]
            if factor != 0:
                for j in range(width):
                    values[i, j] += factor * rows[i + k, j]


@njit(cache=True, nogil=True)
def _spread(gradient, top, left, down, right, onto, rows):  # type: ignore[no-untyped-def]
    """The adjoint of `interpolate`: add the gradient of its values to that of its source."""
    count, width = gradient.shape
    first, start = top + (down >> 2), left + (right >> 2)
    across, along = FILTERS[right & 3], FILTERS[down & 3]
    rows[: count + TAPS - 1] = 0
    for i in range(count):
        for k in range(TAPS):
            factor = along[k]
            if factor != 0:
                for j in range(width):
                    rows[i + k, j] += factor * gradient[i, j]
    for i in range(count + TAPS - 1):
        line = onto[first + i - BEFORE]
        for k in range(TAPS):
            factor = across[k]
            if factor != 0:
                for j in range(width):
                    line[start + j + k - BEFORE] += factor * rows[i, j]


@njit(cache=True, nogil=True)
def ramps(length, block, overlap, blocks):  # type: ignore[no-untyped-def]
    """Weights of each block along one axis, `(blocks, block + overlap)`: 1 inside, rising and falling where two overlap.

    Weights of all blocks add up to 1 at each of the `length` places; beyond both ends of the axis they are 0.
    """
    weights = np.ones((blocks, block + overlap), np.float32)
    for b in range(blocks):
        for i in range(overlap):
            rise = np.float32((i + 0.5) / overlap)
            if b > 0:
                weights[b, i] = rise
            if b < blocks - 1:
                weights[b, block + i] = 1 - rise
        for i in range(block + overlap):
            place = b * block + i - overlap // 2
            if place < 0 or place >= length:
                weights[b, i] = 0
    return weights


@njit(cache=True, nogil=True)
def compensate(reference, motion, block, overlap, margin, picture):  # type: ignore[no-untyped-def]
    """Add to a picture `(C, H, W)` what the vectors make of the reference `(C, H + 2 margin, W + 2 margin)`."""
    _overlapped(reference, motion, block, overlap, margin, picture, False)


@njit(cache=True, nogil=True)
def spread(gradient, motion, block, overlap, margin, onto):  # type: ignore[no-untyped-def]
    """The adjoint of `compensate`: add the gradient of the picture to that of the reference."""
    _overlapped(onto, motion, block, overlap, margin, gradient, True)


@njit(cache=True, nogil=True)
def _overlapped(reference, motion, block, overlap, margin, picture, back):  # type: ignore[no-untyped-def]
    """From reference to picture, weighted where blocks overlap, or back."""
    channels, height, width = picture.shape
    _, rows, columns = motion.shape
    down_weights, right_weights = ramps(height, block, overlap, rows), ramps(width, block, overlap, columns)
    side = block + overlap
    values, between = np.empty((side, side), np.float32), np.empty((side + TAPS - 1, side), np.float32)
    for r in range(rows):
        for q in range(columns):
            top, left = r * block - overlap // 2, q * block - overlap // 2
            down, right = motion[0, r, q], motion[1, r, q]
            for c in range(channels):
                if back:
                    values[:] = 0
                else:
                    interpolate(reference[c], margin + top, margin + left, down, right, values, between)
                for i in range(max(0, -top), min(side, height - top)):
                    for j in range(max(0, -left), min(side, width - left)):
                        weight = down_weights[r, i] * right_weights[q, j]
                        if back:
                            values[i, j] = weight * picture[c, top + i, left + j]
                        else:
                            picture[c, top + i, left + j] += weight * values[i, j]
                if back:
                    _spread(values, margin + top, margin + left, down, right, reference[c], between)


@njit(cache=True, nogil=True)
def _vector_bits(down, right):  # type: ignore[no-untyped-def]
    """About what a vector costs, by its distance from the predicted one in quarter pixels."""
    return 2 * np.log2(1.0 + abs(down)) + 2 * np.log2(1.0 + abs(right)) + 1


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _difference(current, top, left, side, values):  # type: ignore[no-untyped-def]
    """Sum of absolute differences between a square of the picture and values `(side, side)`; what is outside does not count."""
    total = np.float32(0)
    height, width = current.shape
    for i in range(min(side, height - top)):
        for j in range(min(side, width - left)):
            total += abs(current[top + i, left + j] - values[i, j])
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _whole_difference(current, reference, top, left, side, margin, down, right):  # type: ignore[no-untyped-def]
    """The same for a vector in whole pixels."""
    total = np.float32(0)
    height, width = current.shape
    for i in range(min(side, height - top)):
        for j in range(min(side, width - left)):
            total += abs(current[top + i, left + j] - reference[margin + top + i + down, margin + left + j + right])
    return total


@njit(cache=True, nogil=True)
def coarse_search(current, reference, block, reach, margin, motion):  # type: ignore[no-untyped-def]
    """The best vector of each square of `block` pixels and as many around it, of all that reach so far; whole pixels.

    Args:
        current: `(H, W)`.
        reference: `(H + 2 margin, W + 2 margin)`.
        block: side.
        reach: pixels each way.
        margin: of the reference, at least `reach + block`.
        motion: int64 `(2, rows, columns)`, overwritten.
    """
    _, rows, columns = motion.shape
    for r in range(rows):
        for q in range(columns):
            top, left = max(0, r * block - block // 2), max(0, q * block - block // 2)
            best, found = np.float32(np.inf), (0, 0)
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    cost = _whole_difference(current, reference, top, left, 2 * block, margin, down, right)
                    cost += np.float32(0.01) * (abs(down) + abs(right))  # of equal ones the shortest
                    if cost < best:
                        best, found = cost, (down, right)
            motion[0, r, q], motion[1, r, q] = found


@njit(cache=True, nogil=True)
def search(current, reference, block, reach, margin, price, hints, motion):  # type: ignore[no-untyped-def]
    """A vector for each block: hints and neighbours are tried, the best is refined to whole, half and quarter pixels.

    Args:
        current: luma `(H, W)`, full scale 255.
        reference: the same with its margin.
        block: side.
        reach: the farthest, in pixels.
        margin: of the reference, at least `reach` and half a filter more.
        price: absolute difference that a bit is worth.
        hints: int64 `(n, 2, rows, columns)`, vectors to try, in quarter pixels.
        motion: int64 `(2, rows, columns)`, overwritten.
    """
    _, rows, columns = motion.shape
    limit = reach * UNIT
    tried = np.empty((len(hints) + 4, 2), np.int64)
    values, between = np.empty((block, block), np.float32), np.empty((block + TAPS - 1, block), np.float32)
    for r in range(rows):
        for q in range(columns):
            top, left = r * block, q * block
            expected = _expected(motion, r, q)
            tried[0] = 0
            tried[1] = expected
            tried[2] = motion[:, r, q - 1] if q > 0 else expected
            tried[3] = motion[:, r - 1, q] if r > 0 else expected
            for h in range(len(hints)):
                tried[4 + h] = hints[h, :, r, q]
            best, down, right = np.float32(np.inf), 0, 0
            for t in range(len(tried)):
                d, s = _whole(tried[t, 0], limit), _whole(tried[t, 1], limit)
                cost = _whole_difference(current, reference, top, left, block, margin, d >> 2, s >> 2)
                cost += price * _vector_bits(d - expected[0], s - expected[1])
                if cost < best:
                    best, down, right = cost, d, s
            moved, turns = True, 0
            while moved and turns < 2 * reach:
                moved, turns = False, turns + 1
                for d0, s0 in ((-UNIT, 0), (UNIT, 0), (0, -UNIT), (0, UNIT)):
                    d, s = down + d0, right + s0
                    if abs(d) > limit or abs(s) > limit:
                        continue
                    cost = _whole_difference(current, reference, top, left, block, margin, d >> 2, s >> 2)
                    cost += price * _vector_bits(d - expected[0], s - expected[1])
                    if cost < best:
                        best, down, right, moved = cost, d, s, True
            for step in (2, 1):
                centre_down, centre_right = down, right
                for d0 in (-step, 0, step):
                    for s0 in (-step, 0, step):
                        d, s = centre_down + d0, centre_right + s0
                        if (d0 == 0 and s0 == 0) or abs(d) > limit or abs(s) > limit:
                            continue
                        interpolate(reference, margin + top, margin + left, d, s, values, between)
                        cost = _difference(current, top, left, block, values)
                        cost += price * _vector_bits(d - expected[0], s - expected[1])
                        if cost < best:
                            best, down, right = cost, d, s
            motion[0, r, q], motion[1, r, q] = down, right


@njit(cache=True, nogil=True)
def smooth(current, reference, block, margin, price, past, motion):  # type: ignore[no-untyped-def]
    """Let each vector become one of its neighbours', of the last frame's, or their median, where that is worth it.

    The search sees only what is above and to the left, the coder mostly all sides: iterated conditional modes (Besag 1986).

    Args:
        current: luma `(H, W)`, full scale 255.
        reference: the same with its margin.
        block: side.
        margin: of the reference, at least the farthest vector and half a filter more.
        price: absolute difference that a bit is worth.
        past: int64 `(0 or 1, 2, rows, columns)`, the vectors of the last frame.
        motion: int64 `(2, rows, columns)`, changed.
    """
    _, rows, columns = motion.shape
    values, between = np.empty((block, block), np.float32), np.empty((block + TAPS - 1, block), np.float32)
    near = np.empty((2, 5), np.int64)
    tried = np.empty((2, 7), np.int64)
    for r in range(rows):
        for q in range(columns):
            count = 0
            for dr, dq in ((-1, 0), (0, -1), (0, 1), (1, 0)):
                if 0 <= r + dr < rows and 0 <= q + dq < columns:
                    near[:, count] = motion[:, r + dr, q + dq]
                    count += 1
            if len(past):
                near[:, count] = past[0, :, r, q]
                count += 1
            if not count:
                return
            tried[:, 0] = motion[:, r, q]
            for axis in range(2):
                tried[axis, 1] = np.sort(near[axis, :count])[(count - 1) // 2]
            tried[:, 2 : 2 + count] = near[:, :count]
            best, found = np.float32(np.inf), 0
            for t in range(2 + count):
                down, right = tried[0, t], tried[1, t]
                if t > 0 and down == tried[0, 0] and right == tried[1, 0]:
                    continue
                cost = np.float32(price * _distance_bits(down - tried[0, 1], right - tried[1, 1]))
                if cost >= best:
                    continue
                interpolate(reference, margin + r * block, margin + q * block, down, right, values, between)
                cost += _difference(current, r * block, q * block, block, values)
                if cost < best:
                    best, found = cost, t
            motion[:, r, q] = tried[:, found]


@njit(cache=True, nogil=True)
def _distance_bits(down, right):  # type: ignore[no-untyped-def]
    """About what a vector costs a coder that sees all sides, by its distance from their median in quarter pixels."""
    if down == 0 and right == 0:
        return 0.5
    return 3 + 2 * np.log2(1.0 + abs(down)) + 2 * np.log2(1.0 + abs(right))


@njit(cache=True, nogil=True)
def _whole(value, limit):  # type: ignore[no-untyped-def]
    """The nearest whole pixel within the limit, in quarter pixels."""
    return max(-limit, min(limit, (value + 2) >> 2 << 2))


@njit(cache=True, nogil=True)
def _expected(motion, r, q):  # type: ignore[no-untyped-def]
    """What the blocks left, above and above to the right say: their median."""
    found = np.zeros(2, np.int64)
    columns = motion.shape[2]
    for axis in range(2):
        left = motion[axis, r, q - 1] if q > 0 else 0
        above = motion[axis, r - 1, q] if r > 0 else left
        corner = motion[axis, r - 1, q + 1] if r > 0 and q + 1 < columns else above
        found[axis] = max(min(left, above), min(max(left, above), corner))
    return found
