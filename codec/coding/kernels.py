"""The coder's inner loops, compiled by numba and kept in its cache between processes.

Duda 2013, "Asymmetric numeral systems", arXiv:1311.2540; Giesen 2014, "Interleaved entropy coders", arXiv:1402.3392.
The callers check shapes and types; what only a look at every symbol can find comes back as a number, and they raise.
An interval is one uint64: frequency in the upper 32 bits, start (the sum of all frequencies before it) in the lower 32.
Indices are cast to uint64 where they cannot be negative: numba then leaves out its test for negative ones (a fifth of
the time). Lane states live in an array: with eight lanes that is as fast as eight variables, and one loop serves any number.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

IntegerArray = NDArray[np.int64]
UnsignedArray = NDArray[np.uint64]
WordArray = NDArray[np.uint32]

OUTSIDE = -(1 << 31)  # stands for an escape among the values; tables never hold this symbol
NO_SUCH_ROW, NO_ESCAPE_LEFT, ESCAPE_TOO_LARGE, WRONG_FREQUENCIES = -1, -2, -3, -4  # what may end decoding early
_LOWER_HALF = np.uint64(0xFFFFFFFF)
_WORD_BITS = np.uint64(32)
_LOWER_BOUND = np.uint64(1 << 32)  # a state below it takes in a word
_ONE = np.uint64(1)


@njit(cache=True, error_model="numpy")
def update_crc(crc: int, data: NDArray[np.uint8], table: NDArray[np.int64]) -> int:
    """A running checksum after some bytes; `table` is what each byte adds."""
    for i in range(data.size):
        crc = table[(crc ^ data[i]) & 0xFF] ^ (crc >> 8)
    return crc


@njit(cache=True, error_model="numpy")
def intervals_of_rows(
    symbols: IntegerArray,
    rows: IntegerArray,
    supports: IntegerArray,
    has_escape: bool,
    intervals: UnsignedArray,
    begin: int,
    found: UnsignedArray,
    numbers: IntegerArray,
) -> tuple[int, int]:
    """Look up the interval of every symbol, from `begin` on; stops early when `numbers` is full.

    Args:
        symbols, rows: `(n,)`.
        supports: `(T, 3)`: first symbol value, number of values without the escape, index of the first interval.
        intervals: all tables' intervals.
        found: `(n,)`, receives one interval per symbol.
        numbers: receives what stands in the stream for each symbol outside its table's support.

    Returns:
        Where to go on (n when done) and how many numbers there are; or i and -1 where symbol i has no place.
    """
    count, tables = 0, np.uint64(supports.shape[0])
    for i in range(begin, symbols.size):
        row = np.uint64(rows[i])
        if row >= tables:
            return i, -1
        entry, values = np.uint64(symbols[i] - supports[row, 0]), np.uint64(supports[row, 1])
        if entry >= values:
            if not has_escape or symbols[i] != np.int32(symbols[i]):
                return i, -1
            if count == numbers.size:
                return i, count
            beyond = symbols[i] - supports[row, 0]
            numbers[count] = -2 * beyond - 1 if beyond < 0 else 2 * (beyond - supports[row, 1])
            count += 1
            entry = values
        found[i] = intervals[np.uint64(supports[row, 2]) + entry]
    return symbols.size, count


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
    lane_mask = np.uint64(states.size - 1)
    for i in range(intervals.size - 1, -1, -1):
        start, frequency = intervals[i] & _LOWER_HALF, intervals[i] >> _WORD_BITS
        lane = np.uint64(first + i) & lane_mask
        state = states[lane]
        if (state >> headroom) >= frequency:
            position -= 1
            words[np.uint64(position)] = np.uint32(state & _LOWER_HALF)
            state >>= _WORD_BITS
        # (state // frequency) * total + state % frequency + start, with one multiplication less
        states[lane] = state + (state // frequency) * (total - frequency) + start
    return position


@njit(cache=True, error_model="numpy")
def decode_rows(
    rows: IntegerArray,
    precision: int,
    supports: IntegerArray,
    bucket_bits: int,
    buckets: WordArray,
    intervals: UnsignedArray,
    values: NDArray[np.int32],
    first: int,
    states: UnsignedArray,
    words: WordArray,
    position: int,
    numbers: IntegerArray,
    numbers_read: int,
    symbols: IntegerArray,
) -> tuple[int, int]:
    """Decode one symbol per row, first to last.

    Args:
        buckets: `(T << bucket_bits,)`: the interval in which each of a table's equal buckets of slots begins.
        values: symbol of each interval, `OUTSIDE` for an escape.
        position: index of the next word.
        numbers: the stream's escapes; `numbers_read`: index of the next.
        symbols: `(n,)`, receives the symbols.

    Returns:
        The indices of the next word and the next escape; or one of the failures below 0 and the i where it was met.
    """
    bits, row_shift, slot_shift = np.uint64(precision), np.uint64(bucket_bits), np.uint64(precision - bucket_bits)
    slot_mask, lane_mask, tables = (_ONE << bits) - _ONE, np.uint64(states.size - 1), np.uint64(supports.shape[0])
    end = words.size
    bound = _LOWER_BOUND if position < end else np.uint64(0)
    for i in range(rows.size):
        row = np.uint64(rows[i])
        if row >= tables:
            return NO_SUCH_ROW, i
        lane = np.uint64(first + i) & lane_mask
        state = states[lane]
        slot = state & slot_mask
        entry = np.uint64(buckets[(row << row_shift) + (slot >> slot_shift)])
        interval = intervals[entry]
        offset = slot - (interval & _LOWER_HALF)
        while offset >= (interval >> _WORD_BITS):
            entry += _ONE
            interval = intervals[entry]
            offset = slot - (interval & _LOWER_HALF)
        state = (interval >> _WORD_BITS) * (state >> bits) + offset
        if state < bound:
            state = (state << _WORD_BITS) | np.uint64(words[np.uint64(position)])
            position += 1
            bound = _LOWER_BOUND if position < end else np.uint64(0)
        states[lane] = state
        symbol = np.int64(values[entry])
        if symbol == OUTSIDE:
            if numbers_read == numbers.size:
                return NO_ESCAPE_LEFT, i
            number = numbers[numbers_read]
            numbers_read += 1
            beyond = -((number + 1) >> 1) if number & 1 else supports[row, 1] + (number >> 1)
            symbol = supports[row, 0] + beyond
            if symbol != np.int32(symbol):
                return ESCAPE_TOO_LARGE, i
        symbols[i] = symbol
    return position, numbers_read


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
    """Decode one symbol per row of `(n, A)` frequencies; returns like `decode_rows`, with n in place of the escape."""
    bits, lane_mask = np.uint64(precision), states.size - 1
    slot_mask, total = (_ONE << bits) - _ONE, 1 << precision
    for i in range(frequencies.shape[0]):
        lane = (first + i) & lane_mask
        slot, start, chosen, row_total = np.int64(states[lane] & slot_mask), 0, -1, 0
        for symbol in range(frequencies.shape[1]):
            frequency = frequencies[i, symbol]
            if frequency < 0 or frequency > total:
                return WRONG_FREQUENCIES, i
            if row_total <= slot < row_total + frequency:
                start, chosen = row_total, symbol
            row_total += frequency
        if row_total != total:
            return WRONG_FREQUENCIES, i
        state = np.uint64(frequencies[i, chosen]) * (states[lane] >> bits) + np.uint64(slot - start)
        if state < _LOWER_BOUND and position < words.size:
            state = (state << _WORD_BITS) | np.uint64(words[position])
            position += 1
        states[lane] = state
        symbols[i] = chosen
    return position, frequencies.shape[0]
