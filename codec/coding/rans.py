"""The coder of every plane: asymmetric numeral systems in up to eight interleaved lanes, driven by integer tables.

Duda 2013, "Asymmetric numeral systems", arXiv:1311.2540; Giesen 2014, "Interleaved entropy coders",
arXiv:1402.3392. stream.py specifies the bytes, reference.py is the same coder in plain Python. The coder is last
in, first out: the encoder collects all pushes and codes them backwards at the end, so that the decoder reads
forwards, as a context model needs it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codec.coding import kernels
from codec.coding.frequencies import MAX_PRECISION_BITS
from codec.coding.stream import LANES, SECTION, Stream, start_state
from codec.coding.tables import FrozenTables
from codec.errors import BitstreamError, ModelMismatchError

_ESCAPES_AT_ONCE = 4096
_SEVERAL_LANES_FROM = {4: 1 << 14, 8: 1 << 18}  # symbols: fewer take under half a millisecond in one lane
_SEVERAL_LANES_MIN_BYTES = {4: 1 << 13, 8: 1 << 14}  # they cost about 16 and 36 bytes more than one: 0.2 % of this


class Encoder:
    """Collects the symbols of one stream, in the decoder's order, and codes them at `finish`.

    Args:
        lanes: 1, 2, 4 or 8 interleaved states: one costs the fewest bytes, eight are fastest; `None` decides at the end.
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
        found, numbers = np.empty(symbols.size, np.uint64), np.empty(_ESCAPES_AT_ONCE, np.int64)
        done, escapes = 0, []
        while done < symbols.size:
            done, count = kernels.intervals_of_rows(
                symbols, rows, tables.supports, tables.has_escape, tables.intervals, done, found, numbers
            )
            if count < 0:
                raise ValueError(_misplaced(int(symbols[done]), int(rows[done]), tables))
            escapes.append(numbers[:count].copy())
        self._pushes.append((found, tables.precision))
        self._escapes += escapes

    def push_frequencies(self, symbols: NDArray[np.integer], frequencies: NDArray[np.integer], precision: int) -> None:
        """Append symbols `(n,)` in [0, A), each with its own table `(n, A)` that sums to 2^precision and may hold zeros."""
        symbols, frequencies = _plain(symbols, 1), _plain(frequencies, 2)
        _check_precision(precision)
        if symbols.size != frequencies.shape[0]:
            raise ValueError(f"every symbol needs frequencies, got {symbols.size} symbols and {frequencies.shape}")
        found = np.empty(symbols.size, np.uint64)
        valid = kernels.intervals_of_frequencies(symbols, frequencies, 1 << precision, found)
        if valid < symbols.size:
            raise ValueError(
                f"row {valid} of the frequencies must not be negative, sum to 2^{precision} and leave symbol "
                f"{symbols[valid]} at least 1; got {frequencies[valid]}"
            )
        self._pushes.append((found, precision))

    def finish(self) -> bytes:
        """All that was pushed, as one stream."""
        if self._lanes is not None:
            return self._code(self._lanes)
        count = sum(intervals.size for intervals, _ in self._pushes)
        lanes = max((lanes for lanes, least in _SEVERAL_LANES_FROM.items() if count >= least), default=1)
        data = self._code(lanes)
        return data if lanes == 1 or len(data) >= _SEVERAL_LANES_MIN_BYTES[lanes] else self._code(1)

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
        symbols = np.empty(rows.size, np.int64)
        position, escapes_read = kernels.decode_rows(
            rows,
            tables.precision,
            tables.supports,
            tables.bucket_bits,
            tables.buckets,
            tables.intervals,
            tables.values,
            self._symbols_read,
            self._states,
            self._words,
            self._words_read,
            self._escapes,
            self._escapes_read,
            symbols,
        )
        if position < 0:
            raise _failure(position, f"symbol {self._symbols_read + escapes_read}")
        self._words_read, self._escapes_read = position, escapes_read
        self._symbols_read += rows.size
        return symbols

    def pull_frequencies(self, frequencies: NDArray[np.integer], precision: int) -> NDArray[np.int64]:
        """The next n symbols, int64 `(n,)`, each with its own table `(n, A)`."""
        frequencies = _plain(frequencies, 2)
        _check_precision(precision)
        symbols = np.empty(frequencies.shape[0], np.int64)
        position, failed = kernels.decode_frequencies(
            frequencies, precision, self._symbols_read, self._states, self._words, self._words_read, symbols
        )
        if position < 0:
            raise _failure(position, f"row {failed}")
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


def _failure(kind: int, where: str) -> Exception:
    """What a decoding kernel's negative result means: the stream's fault or the caller's."""
    match kind:
        case kernels.NO_SUCH_ROW:
            return ValueError(f"{where} names a table that does not exist")
        case kernels.NO_ESCAPE_LEFT:
            return ModelMismatchError(f"{where} is escaped, but no escape is left", SECTION)
        case kernels.ESCAPE_TOO_LARGE:
            return BitstreamError(f"{where} is escaped and does not fit 32 bits with sign", SECTION)
        case _:
            return ValueError(f"{where} of the frequencies has a negative entry or a sum that is not 2^precision")


def _misplaced(symbol: int, row: int, tables: FrozenTables) -> str:
    if not 0 <= row < tables.sizes.size:
        return f"row {row} is not one of the {tables.sizes.size} tables"
    low, count, _ = (int(number) for number in tables.supports[row])
    beyond = "an escape must fit 32 bits with sign" if tables.has_escape else "it has no escape"
    return f"symbol {symbol} lies outside table {row}, which holds {low}..{low + count - 1}, and {beyond}"
