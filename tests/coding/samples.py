"""Random tables, symbols and pushes for the coder's tests."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codec.coding import Decoder, Encoder, FrozenTables, tables_from_pmfs
from codec.coding.reference import SymbolTable


def random_tables(rng: np.random.Generator, precision: int, has_escape: bool) -> FrozenTables:
    """One to nine tables of one to forty entries, from nearly flat to nearly certain."""
    sizes = rng.integers(1, min(40, 1 << precision) + 1, rng.integers(1, 10))
    pmfs = [rng.random(size) ** rng.integers(1, 30) + 1e-12 for size in sizes]
    return tables_from_pmfs(pmfs, list(rng.integers(-50, 50, sizes.size)), precision, has_escape)


def symbols_for(rng: np.random.Generator, tables: FrozenTables, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Flat over each table's support; where it has an escape, one in five lies outside, up to a million away."""
    low, count, _ = tables.supports[rows].T
    symbols = low + rng.integers(0, np.maximum(count, 1))
    if tables.has_escape:
        away = rng.integers(1, 10 ** rng.integers(1, 7, rows.size))
        beyond = np.where(rng.random(rows.size) < 0.5, low - away, low + count + away - 1)
        symbols = np.where((rng.random(rows.size) < 0.2) | (count == 0), beyond, symbols)
    return symbols


@dataclass
class Push:
    """Symbols with the rows of `tables`, or with `frequencies` of their own."""

    symbols: NDArray[np.int64]
    rows: NDArray[np.int64]
    tables: FrozenTables
    frequencies: NDArray[np.int64] | None = None

    def encode(self, encoder: Encoder) -> None:
        if self.frequencies is None:
            encoder.push_rows(self.symbols, self.rows, self.tables)
        else:
            encoder.push_frequencies(self.symbols, self.frequencies, self.tables.precision)

    def decode(self, decoder: Decoder) -> NDArray[np.int64]:
        if self.frequencies is None:
            return decoder.pull_rows(self.rows, self.tables)
        return decoder.pull_frequencies(self.frequencies, self.tables.precision)

    def reference_tables(self) -> list[SymbolTable]:
        precision, has_escape = self.tables.precision, self.tables.has_escape
        if self.frequencies is not None:
            return [SymbolTable(row.tolist(), precision) for row in self.frequencies]
        parts = np.split(self.tables.frequencies, self.tables.starts[1:])
        each = [
            SymbolTable(part.tolist(), precision, int(low), has_escape)
            for part, low in zip(parts, self.tables.offsets, strict=True)
        ]
        return [each[row] for row in self.rows]


def random_pushes(rng: np.random.Generator) -> list[Push]:
    """None to five pushes of none to sixty symbols, each of its own kind and precision."""
    pushes = []
    for _ in range(rng.integers(0, 6)):
        tables = random_tables(rng, int(rng.integers(1, 25)), bool(rng.integers(0, 2)))
        rows = rng.integers(0, tables.sizes.size, rng.integers(0, 60))
        symbols = symbols_for(rng, tables, rows)
        frequencies = None
        if rng.random() < 0.4:
            frequencies = _frequency_rows(rng, rows.size, int(rng.integers(1, 12)), tables.precision)
            symbols = np.array([rng.choice(np.flatnonzero(row)) for row in frequencies], np.int64)
        pushes.append(Push(symbols, rows, tables, frequencies))
    return pushes


def _frequency_rows(rng: np.random.Generator, count: int, alphabet: int, precision: int) -> NDArray[np.int64]:
    """`(count, alphabet)`, many of them zero."""
    chances = rng.dirichlet(np.full(alphabet, 0.3), count)
    return rng.multinomial(1 << precision, chances) if count else np.empty((0, alphabet), np.int64)
