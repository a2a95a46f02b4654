"""The coder's inner loops, compiled by numba and kept in its cache between processes.

Duda 2013, "Asymmetric numeral systems", arXiv:1311.2540; Giesen 2014, "Interleaved entropy coders", arXiv:1402.3392.
The callers check shapes and types. What only a look at every symbol can find comes back as a number and the caller raises.
An interval is one uint64: frequency in the upper 32 bits, start (the sum of all frequencies before it) in the lower 32.
Lane states live in an array: with eight lanes the loads and stores cost nothing measurable and any lane count shares one loop.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

IntegerArray = NDArray[np.int64]
UnsignedArray = NDArray[np.uint64]
WordArray = NDArray[np.uint32]

OUTSIDE = -(1 << 31)  # what `decode_rows` leaves where a symbol was escaped; tables never hold this value
_LOWER_HALF = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)
_LOWER_BOUND = np.uint64(1 << 32)  # a state below it takes in a word
_ONE = np.uint64(1)


@njit(cache=True, error_model="numpy")
def intervals_of_rows(
    symbols: IntegerArray,
    rows: IntegerArray,
    supports: IntegerArray,
    has_escape: bool,
    intervals: UnsignedArray,
    found: UnsignedArray,
    escaped: IntegerArray,
) -> int:
    """Look up the interval of every symbol.

    Args:
        symbols, rows: `(n,)`.
        supports: `(T, 3)`: first symbol value, number of values without the escape, index of the first interval.
        intervals: all tables' intervals.
        found: `(n,)`, receives one interval per symbol.
        escaped: `(n,)`, receives the positions of symbols outside their table's support.

    Returns:
        How many positions `escaped` holds, or `-1 - i` where symbol i has no table or no place in it.
    """
    count = 0
    for i in range(symbols.size):
        row = rows[i]
        if np.uint64(row) >= np.uint64(supports.shape[0]):
            return -1 - i
        entry = symbols[i] - supports[row, 0]
        if np.uint64(entry) >= np.uint64(supports[row, 1]):
            if not has_escape:
                return -1 - i
            escaped[count] = i
            count += 1
            entry = supports[row, 1]
        found[i] = intervals[supports[row, 2] + entry]
    return count


@njit(cache=True, error_model="numpy")
def intervals_of_frequencies(symbols: IntegerArray, frequencies: IntegerArray, total: int, found: UnsignedArray) -> int:
    """Sum the frequencies `(n, A)` up to each symbol; returns n, or the first i whose row or symbol is not valid."""
    alphabet = frequencies.shape[1]
    for i in range(symbols.size):
        start, row_total = 0, 0
        for symbol in range(alphabet):
            frequency = frequencies[i, symbol]
            if frequency < 0 or frequency > total:
                return i
            if symbol == symbols[i]:
                start = row_total
            row_total += frequency
        if symbols[i] < 0 or symbols[i] >= alphabet or frequencies[i, symbols[i]] < 1 or row_total != total:
            return i
        found[i] = (np.uint64(frequencies[i, symbols[i]]) << _WORD_BITS) | np.uint64(start)
    return symbols.size


@njit(cache=True, error_model="numpy")
def encode_intervals(
    intervals: UnsignedArray, precision: int, first: int, states: UnsignedArray, words: WordArray, position: int
) -> int:
    """Code `(n,)` intervals, last to first, filling `words` from the back; returns the index of the last word written.

    Args:
        first: how many symbols of the stream come before these; symbol i belongs to lane `(first + i) % lanes`.
        states: `(lanes,)`, changed in place.
        position: index of the word written before.
    """
    headroom, total = np.uint64(64 - precision), _ONE << np.uint64(precision)
    lane_mask = states.size - 1
    for i in range(intervals.size - 1, -1, -1):
        start, frequency = intervals[i] & _LOWER_HALF, intervals[i] >> _WORD_BITS
        lane = (first + i) & lane_mask
        state = states[lane]
        if (state >> headroom) >= frequency:
            position -= 1
            words[position] = np.uint32(state & _LOWER_HALF)
            state >>= _WORD_BITS
        # (state // frequency) * total + state % frequency + start, with one multiplication less
        states[lane] = state + (state // frequency) * (total - frequency) + start
    return position


@njit(cache=True, error_model="numpy")
def decode_rows(
    rows: IntegerArray,
    precision: int,
    bucket_bits: int,
    buckets: WordArray,
    intervals: UnsignedArray,
    values: NDArray[np.int32],
    first: int,
    states: UnsignedArray,
    words: WordArray,
    position: int,
    symbols: IntegerArray,
    escaped: IntegerArray,
) -> tuple[int, int]:
    """Decode one symbol per row, first to last.

    Args:
        buckets: `(T << bucket_bits,)`: the interval in which each of a table's equal buckets of slots begins.
        values: symbol of each interval, `OUTSIDE` for an escape.
        position: index of the next word.
        symbols: `(n,)`, receives the symbols; `escaped` the positions of those that are `OUTSIDE`.

    Returns:
        The next word's index and the number of escapes; or -1 and the first i whose row does not exist.
    """
    bits, bucket_shift = np.uint64(precision), np.uint64(precision - bucket_bits)
    slot_mask, lane_mask, tables = (_ONE << bits) - _ONE, states.size - 1, buckets.size >> bucket_bits
    bound = _LOWER_BOUND if position < words.size else np.uint64(0)
    count = 0
    for i in range(rows.size):
        row = rows[i]
        if np.uint64(row) >= np.uint64(tables):
            return -1, i
        lane = (first + i) & lane_mask
        state = states[lane]
        slot = state & slot_mask
        entry = buckets[(row << bucket_bits) + np.int64(slot >> bucket_shift)]
        offset = slot - (intervals[entry] & _LOWER_HALF)
        while offset >= (intervals[entry] >> _WORD_BITS):
            entry += np.uint32(1)
            offset = slot - (intervals[entry] & _LOWER_HALF)
        state = (intervals[entry] >> _WORD_BITS) * (state >> bits) + offset
        if state < bound:
            state = (state << _WORD_BITS) | np.uint64(words[position])
            position += 1
            bound = _LOWER_BOUND if position < words.size else np.uint64(0)
        states[lane] = state
        symbols[i] = values[entry]
        if values[entry] == OUTSIDE:
            escaped[count] = i
            count += 1
    return position, count


@njit(cache=True, error_model="numpy")
def decode_frequencies(
    frequencies: IntegerArray,
    precision: int,
    first: int,
    states: UnsignedArray,
    words: WordArray,
    position: int,
    symbols: IntegerArray,
) -> tuple[int, int]:
    """Decode one symbol per row of `(n, A)` frequencies; returns like `decode_rows`, with n in place of the escapes."""
    bits, lane_mask = np.uint64(precision), states.size - 1
    slot_mask, total = (_ONE << bits) - _ONE, 1 << precision
    for i in range(frequencies.shape[0]):
        lane = (first + i) & lane_mask
        slot, start, chosen, row_total = np.int64(states[lane] & slot_mask), 0, -1, 0
        for symbol in range(frequencies.shape[1]):
            frequency = frequencies[i, symbol]
            if frequency < 0 or frequency > total:
                return -1, i
            if row_total <= slot < row_total + frequency:
                start, chosen = row_total, symbol
            row_total += frequency
        if row_total != total:
            return -1, i
        state = np.uint64(frequencies[i, chosen]) * (states[lane] >> bits) + np.uint64(slot - start)
        if state < _LOWER_BOUND and position < words.size:
            state = (state << _WORD_BITS) | np.uint64(words[position])
            position += 1
        states[lane] = state
        symbols[i] = chosen
    return position, frequencies.shape[0]
