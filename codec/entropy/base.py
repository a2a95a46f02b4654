"""What an entropy model promises: a generator of steps, each with integer tables for codes that become known.

`steps(layout, known)` yields what the coder does next; the driver fills `known` before it resumes. So encoder, decoder,
quantiser of latents and sampler share one order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from codec.coding import Decoder, Encoder, FrozenTables

FIXED_POINT = 256  # means and dequantised latents are integers in 1 / FIXED_POINT


@dataclass(frozen=True)
class Rows:
    """One frozen table for each symbol.

    Attributes:
        index: int64 `(n,)`.
        tables: what the index points into.
    """

    index: NDArray[np.int64]
    tables: FrozenTables

    def bits(self, symbols: NDArray[np.int64]) -> NDArray[np.float64]:
        """-log2 of the share that each of `(n,)` symbols has in its table."""
        return self.tables.bits(self.index, symbols)

    def draw(self, random: np.random.Generator) -> NDArray[np.int64]:
        """One symbol from each table; where an escape is drawn, the table's first symbol stands for it."""
        tables = self.tables
        totals = np.cumsum(tables.frequencies.astype(np.int64))
        targets = (self.index << tables.precision) + random.integers(1 << tables.precision, size=len(self.index))
        entries = np.searchsorted(totals, targets, side="right") - tables.starts[self.index]
        escaped = tables.has_escape & (entries == tables.sizes[self.index] - 1)
        return tables.offsets[self.index] + np.where(escaped, 0, entries)

    def push(self, encoder: Encoder, symbols: NDArray[np.int64]) -> None:
        """Append `(n,)` symbols to a stream."""
        encoder.push_rows(symbols, self.index, self.tables)

    def pull(self, decoder: Decoder) -> NDArray[np.int64]:
        """The next `(n,)` symbols of a stream."""
        return decoder.pull_rows(self.index, self.tables)

    def part(self, first: int, last: int) -> "Rows":
        """Those of symbols first … last - 1."""
        return Rows(self.index[first:last], self.tables)


@dataclass(frozen=True)
class Frequencies:
    """A table for each symbol, made by an integer network.

    Attributes:
        values: int64 `(n, A)`, each at least 1; a row sums to 2^precision.
        precision: bits.
    """

    values: NDArray[np.int64]
    precision: int

    def bits(self, symbols: NDArray[np.int64]) -> NDArray[np.float64]:
        """-log2 of the share that each of `(n,)` symbols has in its table."""
        return self.precision - np.log2(self.values[np.arange(len(symbols)), symbols])

    def draw(self, random: np.random.Generator) -> NDArray[np.int64]:
        """One symbol from each table."""
        targets = random.integers(1 << self.precision, size=(len(self.values), 1))
        return (np.cumsum(self.values, axis=1) <= targets).sum(1)

    def push(self, encoder: Encoder, symbols: NDArray[np.int64]) -> None:
        """Append `(n,)` symbols to a stream."""
        encoder.push_frequencies(symbols, self.values, self.precision)

    def pull(self, decoder: Decoder) -> NDArray[np.int64]:
        """The next `(n,)` symbols of a stream."""
        return decoder.pull_frequencies(self.values, self.precision)

    def part(self, first: int, last: int) -> "Frequencies":
        """Those of symbols first … last - 1."""
        return Frequencies(self.values[first:last], self.precision)


@dataclass(frozen=True)
class Numbering:
    """Another order of a plane's codes, in which neighbours are alike, so that leading digits mean something.

    Attributes:
        ranks: int64 `(K,)`, the rank of each code.
        codes: int64 `(K,)`, the code of each rank.
    """

    ranks: NDArray[np.int64]
    codes: NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """What the coder does next.

    Attributes:
        plane: which plane.
        where: int64 `(n,)` flat positions in the chunk.
        tables: for these symbols.
        means: int64 `(n,)` in 1/256 for a latent: code = round(y - mean), y_hat = code + mean.
        radix: where a code is several coder symbols (digits), the number of values of this digit; None for whole codes.
        place: worth of one unit of this digit, so a code is the sum of its digits times their places; place 1 comes last.
        numbering: the digits are those of the code's rank in it; None for those of the code itself.
        certain: int64 `(2, m)`, further positions and their means in 1/256: their code is 0 and takes no bits.
    """

    plane: int
    where: NDArray[np.int64]
    tables: Rows | Frequencies
    means: NDArray[np.int64] | None = None
    radix: int | None = None
    place: int = 1
    numbering: Numbering | None = None
    certain: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Layout:
    """The grids of the planes in one chunk.

    Attributes:
        grids: a shape for each plane.
        gain: the head's gain index, for models of many rates.
        past: int64 `(P, rows, columns)` in 1/256, what is known of earlier frames; None where there are none.
    """

    grids: tuple[tuple[int, ...], ...]
    gain: int = 0
    past: NDArray[np.int64] | None = field(default=None, compare=False)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of positions of each plane."""
        return tuple(int(np.prod(grid, dtype=np.int64)) for grid in self.grids)


@dataclass(frozen=True)
class Known:
    """What has been coded so far.

    Attributes:
        codes: int64 `(positions,)` for each plane; a model must not read positions, or digits, that no step has named yet.
            Between the first and the last digit of a numbered code its rank so far stands here.
        latents: int64 `(positions,)` y_hat in 1/256, for planes that have means.
    """

    codes: list[NDArray[np.int64]]
    latents: list[NDArray[np.int64]]

    @classmethod
    def nothing(cls, layout: Layout) -> "Known":
        """All positions still unknown."""
        codes, latents = ([np.zeros(size, np.int64) for size in layout.sizes] for _ in range(2))
        return cls(codes, latents)


class EntropyModel(Protocol):
    """Probabilities of the planes of one chunk; everything that `steps` yields is computed in integers.

    Attributes:
        codebook_sizes: alphabet of each plane, 0 where any integer may occur.
    """

    codebook_sizes: tuple[int, ...]

    def layout(self, grid: tuple[int, ...]) -> Layout:
        """The grids of all planes in a chunk of `grid` positions."""

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of planes `(B, *grid)`, summed: differentiable in training; in eval, -log2 of the integer tables.

        Planes are int64 codes, or the continuous values of a latent.
        """

    def freeze(self, planes: Sequence[Tensor]) -> float:
        """Make the integer part from what was trained, calibrated on planes `(B, *grid)`; returns its cost there in percent."""

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """What to code, in order."""
