"""The range coder of every plane: asymmetric numeral systems in up to eight interleaved lanes, driven by integer tables.

Duda 2013, "Asymmetric numeral systems", arXiv:1311.2540; Giesen 2014, "Interleaved entropy coders", arXiv:1402.3392.
stream.py specifies the bytes, reference.py is the same coder in plain Python. The coder is last in, first out: the encoder
collects all pushes and codes them backwards at the end, so that the decoder reads forwards, as a context model needs it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codec.coding import kernels
from codec.coding.frequencies import MAX_PRECISION_BITS
from codec.coding.stream import LANES, SECTION, Stream, start_state
from codec.coding.tables import FrozenTables, escape_numbers, escaped_symbols
from codec.errors import BitstreamError, ModelMismatchError

_SEVERAL_LANES_FROM = {4: 1 << 16, 8: 1 << 18}  # symbols: fewer take under a millisecond in one lane
_SEVERAL_LANES_MIN_BYTES = 1 << 14  # eight lanes cost about 36 bytes more than one: 0.2 % of this


class Encoder:
    """Collects the symbols of one stream, in the decoder's order, and codes them at `finish`.

    Args:
        lanes: 1, 2, 4 or 8 interleaved states: one costs the fewest bytes, eight decode the fastest; `None` decides at `finish`.
    """

    def __init__(self, lanes: int | None = None) -> None:
        if lanes is not None and lanes not in LANES:
            raise ValueError(f"lanes must be one of {LANES} or None, got {lanes}")
        self._lanes = lanes
        self._pushes: list[tuple[NDArray[np.uint64], int]] = []  # intervals, precision
        self._escapes: list[NDArray[np.int64]] = []

    def push_rows(self, symbols: NDArray[np.integer], rows: NDArray[np.integer], tables: FrozenTables) -> None:
        """Append symbols `(n,)`, each coded with the table that its entry of `rows` `(n,)` names."""
        symbols, rows = _plain(symbols, 1), _plain(rows, 1)
        if symbols.shape != rows.shape:
            raise ValueError(f"every symbol needs a row, got {symbols.size} symbols and {rows.size} rows")
        found, escaped = np.empty(symbols.size, np.uint64), np.empty(symbols.size, np.int64)
        count = kernels.intervals_of_rows(
            symbols, rows, tables.supports, tables.has_escape, tables.intervals, found, escaped
        )
        if count < 0:
            raise ValueError(_misplaced(int(symbols[-1 - count]), int(rows[-1 - count]), tables))
        self._pushes.append((found, tables.precision))
        if count:
            where = escaped[:count]
            _check_int32(symbols[where])
            self._escapes.append(escape_numbers(tables, rows[where], symbols[where]))

    def push_frequencies(self, symbols: NDArray[np.integer], frequencies: NDArray[np.integer], precision: int) -> None:
        """Append symbols `(n,)`, each in [0, A), with its own table `(n, A)`; each sums to 2^precision, zeros are allowed."""
        symbols, frequencies = _plain(symbols, 1), _plain(frequencies, 2)
        _check_precision(precision)
        if symbols.size != frequencies.shape[0]:
            raise ValueError(f"every symbol needs frequencies, got {symbols.size} symbols and {frequencies.shape}")
        found = np.empty(symbols.size, np.uint64)
        valid = kernels.intervals_of_frequencies(symbols, frequencies, 1 << precision, found)
        if valid < symbols.size:
            raise ValueError(_wrong_frequencies(valid, precision) + f", or symbol {symbols[valid]} has none of it")
        self._pushes.append((found, precision))

    def finish(self) -> bytes:
        """All that was pushed, as one stream."""
        if self._lanes is not None:
            return self._code(self._lanes)
        count = sum(intervals.size for intervals, _ in self._pushes)
        lanes = max((lanes for lanes, least in _SEVERAL_LANES_FROM.items() if count >= least), default=1)
        data = self._code(lanes)
        return data if lanes == 1 or len(data) >= _SEVERAL_LANES_MIN_BYTES else self._code(1)

    def _code(self, lanes: int) -> bytes:
        first = position = sum(intervals.size for intervals, _ in self._pushes)
        states, words = np.full(lanes, start_state(lanes), np.uint64), np.empty(position, np.uint32)
        for intervals, precision in reversed(self._pushes):
            first -= intervals.size
            position = kernels.encode_intervals(intervals, precision, first, states, words, position)
        escapes = np.concatenate([np.empty(0, np.int64), *self._escapes])
        return Stream(escapes, states, words[position:]).to_bytes()


class Decoder:
    """Gives back what an `Encoder` was given, when asked in the same portions' order with the same tables.

    Wrong tables or damaged words give wrong symbols, never a crash; `finish` tells.
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        stream = Stream.from_bytes(data)
        self._states, self._words, self._escapes = stream.states, stream.words, stream.escapes
        self._symbols_read = self._words_read = self._escapes_read = 0

    def pull_rows(self, rows: NDArray[np.integer], tables: FrozenTables) -> NDArray[np.int64]:
        """The next n symbols, int64 `(n,)`, for tables named by `rows` `(n,)`."""
        rows = _plain(rows, 1)
        symbols, escaped = np.empty(rows.size, np.int64), np.empty(rows.size, np.int64)
        position, count = kernels.decode_rows(
            rows,
            tables.precision,
            tables.bucket_bits,
            tables.buckets,
            tables.intervals,
            tables.values,
            self._symbols_read,
            self._states,
            self._words,
            self._words_read,
            symbols,
            escaped,
        )
        if position < 0:
            raise ValueError(f"row {rows[count]} is not one of the {tables.sizes.size} tables")
        self._words_read = position
        self._symbols_read += rows.size
        if count:
            where = escaped[:count]
            symbols[where] = escaped_symbols(tables, rows[where], self._take_escapes(count))
            _check_decoded(symbols[where])
        return symbols

    def pull_frequencies(self, frequencies: NDArray[np.integer], precision: int) -> NDArray[np.int64]:
        """The next n symbols, int64 `(n,)`, each with its own table `(n, A)`."""
        frequencies = _plain(frequencies, 2)
        _check_precision(precision)
        symbols = np.empty(frequencies.shape[0], np.int64)
        position, count = kernels.decode_frequencies(
            frequencies, precision, self._symbols_read, self._states, self._words, self._words_read, symbols
        )
        if position < 0:
            raise ValueError(_wrong_frequencies(count, precision))
        self._words_read = position
        self._symbols_read += symbols.size
        return symbols

    def finish(self) -> None:
        """Check that the stream ended where its encoder began; anything else means other tables or damage."""
        back = np.all(self._states == np.uint64(start_state(self._states.size)))
        words, escapes = self._words.size - self._words_read, self._escapes.size - self._escapes_read
        if not back or words or escapes:
            raise ModelMismatchError(
                f"after {self._symbols_read} symbols {words} words and {escapes} escapes are left and the states "
                f"{'are' if back else 'are not'} at their start; it was coded with other tables or is damaged",
                SECTION,
            )

    def _take_escapes(self, count: int) -> NDArray[np.int64]:
        numbers = self._escapes[self._escapes_read : self._escapes_read + count]
        if numbers.size < count:
            raise ModelMismatchError("more symbols are escaped than it has escapes", SECTION)
        self._escapes_read += count
        return numbers


def encode(
    symbols: NDArray[np.integer], rows: NDArray[np.integer], tables: FrozenTables, lanes: int | None = None
) -> bytes:
    """Symbols `(n,)` as one stream; see `Encoder`."""
    encoder = Encoder(lanes)
    encoder.push_rows(symbols, rows, tables)
    return encoder.finish()


def decode(data: bytes | bytearray | memoryview, rows: NDArray[np.integer], tables: FrozenTables) -> NDArray[np.int64]:
    """The inverse of `encode`, int64 `(n,)`; checks that the stream ends with the last symbol."""
    decoder = Decoder(data)
    symbols = decoder.pull_rows(rows, tables)
    decoder.finish()
    return symbols


def _plain(integers: NDArray[np.integer], axes: int) -> NDArray[np.int64]:
    """The same integers in the one layout for which the kernels are compiled; copies only what has another."""
    integers = np.asarray(integers)
    if integers.ndim != axes or integers.dtype.kind not in "iu":
        raise ValueError(f"expected integers with {axes} axes, got {integers.dtype} {integers.shape}")
    return np.require(integers, np.int64, ["C", "A", "W"])


def _check_precision(precision: int) -> None:
    if not 1 <= precision <= MAX_PRECISION_BITS:
        raise ValueError(f"precision must lie in 1..{MAX_PRECISION_BITS} bits, got {precision}")


def _fits_int32(symbols: NDArray[np.int64]) -> bool:
    return bool(np.all(symbols == symbols.astype(np.int32)))


def _check_int32(symbols: NDArray[np.int64]) -> None:
    if not _fits_int32(symbols):
        raise ValueError("an escaped symbol must fit 32 bits with sign")


def _check_decoded(symbols: NDArray[np.int64]) -> None:
    if not _fits_int32(symbols):
        raise BitstreamError("an escaped symbol does not fit 32 bits with sign", SECTION)


def _wrong_frequencies(row: int, precision: int) -> str:
    return f"row {row} of the frequencies is not a set of non-negative integers that sum to 2^{precision}"


def _misplaced(symbol: int, row: int, tables: FrozenTables) -> str:
    if not 0 <= row < tables.sizes.size:
        return f"row {row} is not one of the {tables.sizes.size} tables"
    low, count, _ = (int(number) for number in tables.supports[row])
    return f"symbol {symbol} lies outside table {row}, which holds {low}..{low + count - 1} and has no escape"
