"""The coder in plain Python integers: slow, readable, and equal to rans.py byte for byte.

It follows the text of stream.py and shares no code with the fast coder. Duda 2013, arXiv:1311.2540.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codec.errors import ModelMismatchError


@dataclass(frozen=True)
class SymbolTable:
    """The table of one symbol.

    Attributes:
        frequencies: they sum to 2^precision; with an escape, the last is the escape's.
        low: symbol of the first entry.
    """

    frequencies: Sequence[int]
    precision: int
    low: int = 0
    has_escape: bool = False

    @property
    def end(self) -> int:
        """One more than the largest symbol of the support."""
        return self.low + len(self.frequencies) - int(self.has_escape)


def encode(symbols: Sequence[int], tables: Sequence[SymbolTable], lanes: int) -> bytes:
    """One stream of symbols, each with its table."""
    states, words = [_start(lanes)] * lanes, list[int]()
    for i in reversed(range(len(symbols))):
        table, x = tables[i], states[i % lanes]
        entry = symbols[i] - table.low if table.low <= symbols[i] < table.end else len(table.frequencies) - 1
        start, frequency = sum(table.frequencies[:entry]), table.frequencies[entry]
        if x >> (64 - table.precision) >= frequency:
            words.append(x % 2**32)
            x >>= 32
        states[i % lanes] = (x // frequency << table.precision) + x % frequency + start
    pairs = zip(symbols, tables, strict=True)
    escapes = b"".join(_varint(_fold(s, t)) for s, t in pairs if not t.low <= s < t.end)
    head = bytes([lanes.bit_length() - 1 + (4 if escapes else 0)]) + (_varint(len(escapes)) if escapes else b"")
    size = 8 if lanes > 1 else (states[0].bit_length() + 7) // 8
    final = b"" if states == [_start(1)] else b"".join(x.to_bytes(size, "little") for x in states)
    return head + escapes + final + b"".join(word.to_bytes(4, "little") for word in reversed(words))


def decode(data: bytes, tables: Sequence[SymbolTable]) -> list[int]:
    """The symbols of a whole undamaged stream, one per table."""
    lanes, escapes, states, words = _take_apart(data)
    symbols = []
    for i, table in enumerate(tables):
        x = states[i % lanes]
        entry, start, slot = 0, 0, x % 2**table.precision
        while slot >= start + table.frequencies[entry]:
            start += table.frequencies[entry]
            entry += 1
        x = table.frequencies[entry] * (x >> table.precision) + slot - start
        states[i % lanes] = x << 32 | words.pop(0) if x < 2**32 and words else x
        symbol = table.low + entry
        symbols.append(_unfold(escapes.pop(0), table) if symbol == table.end else symbol)
    if words or escapes or states != [_start(lanes)] * lanes:
        raise ModelMismatchError("the stream does not end with its last symbol")
    return symbols


def _take_apart(data: bytes) -> tuple[int, list[int], list[int], list[int]]:
    """Lanes, escapes, states and words of a sound stream."""
    lanes, has_escapes, rest = 1 << data[0] % 4, bool(data[0] & 4), data[1:]
    escapes = list[int]()
    if has_escapes:
        size, rest = _read_varint(rest)
        section, rest = rest[:size], rest[size:]
        while section:
            number, section = _read_varint(section)
            escapes.append(number)
    size = 8 if lanes > 1 else len(rest) if len(rest) <= 8 else 5 + (len(rest) - 5) % 4
    states = [int.from_bytes(rest[size * i : size * (i + 1)], "little") if size else _start(1) for i in range(lanes)]
    rest = rest[size * lanes :]
    return lanes, escapes, states, [int.from_bytes(rest[i : i + 4], "little") for i in range(0, len(rest), 4)]


def _start(lanes: int) -> int:
    return 2**8 if lanes == 1 else 2**32


def _fold(symbol: int, table: SymbolTable) -> int:
    return 2 * (symbol - table.end) if symbol >= table.end else 2 * (table.low - symbol) - 1


def _unfold(number: int, table: SymbolTable) -> int:
    return table.low - (number + 1) // 2 if number % 2 else table.end + number // 2


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + _varint(number // 128)


def _read_varint(data: bytes) -> tuple[int, bytes]:
    if data[0] < 128:
        return data[0], data[1:]
    upper, rest = _read_varint(data[1:])
    return data[0] - 128 + 128 * upper, rest
