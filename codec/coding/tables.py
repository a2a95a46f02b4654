"""Frozen integer tables: the only probabilities that the coder ever sees.

Tables are made once, in float64, and stored with a model as integers: a float computed again on another machine may
differ. Each table has its own support and an escape for what lies outside, since frequencies forced on a common
wide alphabet cost 0.4 to 4.7 %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codec.coding.frequencies import MAX_PRECISION_BITS, quantise_frequencies
from codec.coding.kernels import OUTSIDE
from codec.coding.varint import varint_bytes

_BUCKET_BITS = 10  # 64 tables of them stay in the second-level cache
_MAX_BUCKETS = 1 << 22
_LARGEST = (1 << 31) - 1


@dataclass(frozen=True, eq=False)
class FrozenTables:
    """A set of T integer frequency tables, each over its own run of integers.

    Attributes:
        frequencies: uint32, all tables one after the other; every entry at least 1, each table sums to 2^precision.
        sizes: int64 `(T,)`, entries of each table, with the escape.
        offsets: int64 `(T,)`, symbol of each table's first entry.
        precision: bits, 1 to 24.
        has_escape: the last entry of every table stands for any symbol outside its support.
    """

    frequencies: NDArray[np.uint32]
    sizes: NDArray[np.int64]
    offsets: NDArray[np.int64]
    precision: int
    has_escape: bool

    def __post_init__(self) -> None:
        if self.sizes.ndim != 1 or self.sizes.size == 0 or self.sizes.shape != self.offsets.shape:
            raise ValueError(f"sizes and offsets must be (T,), got {self.sizes.shape} and {self.offsets.shape}")
        if self.sizes.min() < 1 or self.frequencies.shape != (int(self.sizes.sum()),):
            raise ValueError(f"sizes add up to {self.sizes.sum()}, frequencies are {self.frequencies.shape}")
        if not 1 <= self.precision <= MAX_PRECISION_BITS:
            raise ValueError(f"precision must lie in 1..{MAX_PRECISION_BITS} bits, got {self.precision}")
        totals = np.add.reduceat(self.frequencies.astype(np.int64), self.starts)
        if self.frequencies.min() < 1 or np.any(totals != 1 << self.precision):
            raise ValueError(f"frequencies must be at least 1 and sum to 2^{self.precision}, got sums {totals}")
        if self.offsets.min() <= OUTSIDE or (self.offsets + self.sizes).max() > _LARGEST:
            raise ValueError("symbols must lie within 31 bits and a sign")

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """`(T,)`: index of each table's first entry."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def supports(self) -> NDArray[np.int64]:
        """`(T, 3)`: first symbol, number of symbols without the escape, index of the first entry."""
        return np.stack([self.offsets, self.sizes - int(self.has_escape), self.starts], axis=1).astype(np.int64)

    @cached_property
    def intervals(self) -> NDArray[np.uint64]:
        """Per entry: frequency in the upper half, sum of the table's frequencies before it in the lower."""
        frequencies = self.frequencies.astype(np.uint64)
        before = (np.cumsum(frequencies) - frequencies) & np.uint64((1 << self.precision) - 1)
        return (frequencies << np.uint64(32)) | before

    @cached_property
    def values(self) -> NDArray[np.int32]:
        """Symbol of each entry, `OUTSIDE` for an escape."""
        values = np.arange(self.frequencies.size) + np.repeat(self.offsets - self.starts, self.sizes)
        if self.has_escape:
            values[self.starts + self.sizes - 1] = OUTSIDE
        return values.astype(np.int32)

    @cached_property
    def rises(self) -> NDArray[np.float64]:
        """`(T, 64)`: bits that k + 1 costs more than k, for k = 0 … 63; 0 beyond the support."""
        steps, entries = np.arange(65), self.supports[:, 1:2]
        places = steps - self.offsets[:, None]
        inside = (places >= 0) & (places < entries)
        found = self.frequencies[self.starts[:, None] + np.where(inside, places, 0)].astype(np.float64)
        rises = -np.diff(np.log2(found), axis=1)
        return np.where(inside[:, 1:] & inside[:, :-1], np.maximum(rises, 0), 0)

    @cached_property
    def bucket_bits(self) -> int:
        """Each table's slots are cut into 2^bucket_bits buckets, about one per symbol and never few."""
        wanted = max(_BUCKET_BITS, int(self.sizes.max()).bit_length(), self.precision - 8)
        affordable = (_MAX_BUCKETS // self.sizes.size).bit_length() - 1
        return max(0, min(wanted, affordable, self.precision))

    @cached_property
    def buckets(self) -> NDArray[np.uint32]:
        """`(T << bucket_bits,)`: the entry in which each bucket begins."""
        edges = np.arange(1 << self.bucket_bits) << (self.precision - self.bucket_bits)
        ends = np.split(np.cumsum(self.frequencies, dtype=np.int64), self.starts[1:])
        first = [
            start + np.searchsorted(end - (row << self.precision), edges, side="right")
            for row, (start, end) in enumerate(zip(self.starts, ends, strict=True))
        ]
        return np.concatenate(first).astype(np.uint32)

    def bits(self, rows: ArrayLike, symbols: ArrayLike) -> NDArray[np.float64]:
        """Code length of each symbol in the table of its row, any shape; an escape counts the bytes of its value."""
        rows, symbols = np.asarray(rows, np.int64), np.asarray(symbols, np.int64)
        entries = symbols - self.offsets[rows]
        limits = self.supports[rows, 1]
        outside = (entries < 0) | (entries >= limits)
        if outside.any() and not self.has_escape:
            raise ValueError(f"{outside.sum()} symbols lie outside their tables, which have no escape")
        frequencies = self.frequencies[self.starts[rows] + np.where(outside, limits, entries)]
        bits = self.precision - np.log2(frequencies.astype(np.float64))
        beyond = np.where(entries < 0, -2 * entries - 1, 2 * (entries - limits))[outside]
        bits[outside] += 8.0 * varint_bytes(beyond)
        return bits

    def to_arrays(self) -> dict[str, NDArray]:
        """What a checkpoint stores."""
        scalars = {"precision": np.array([self.precision]), "has_escape": np.array([int(self.has_escape)])}
        return {"frequencies": self.frequencies, "sizes": self.sizes, "offsets": self.offsets, **scalars}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> FrozenTables:
        """The tables that `to_arrays` took apart; any integer type will do."""
        return cls(
            arrays["frequencies"].astype(np.uint32),
            arrays["sizes"].astype(np.int64),
            arrays["offsets"].astype(np.int64),
            int(arrays["precision"].item()),
            bool(arrays["has_escape"].item()),
        )


def tables_from_pmfs(
    pmfs: Sequence[NDArray[np.float64]], offsets: Sequence[int], precision: int = 16, has_escape: bool = False
) -> FrozenTables:
    """Tables of the given probabilities, one `(A,)` each; with an escape, the last probability is the escape's."""
    if len(pmfs) != len(offsets):
        raise ValueError(f"every table needs an offset, got {len(pmfs)} tables and {len(offsets)} offsets")
    frequencies = np.concatenate([quantise_frequencies(pmf, precision) for pmf in pmfs])
    sizes = np.array([len(pmf) for pmf in pmfs], np.int64)
    return FrozenTables(frequencies, sizes, np.array(offsets, np.int64), precision, has_escape)


def gaussian_tables(scales: Sequence[float], precision: int = 16, tail: float = 4.0) -> FrozenTables:
    """One table per scale: a Gaussian of zero mean, integrated over each integer's unit interval, and an escape.

    Args:
        scales: standard deviations `(T,)`, greater than 0.
        tail: the support reaches this many standard deviations to either side, but at least to -1 and 1.
    """
    if min(scales) <= 0:
        raise ValueError(f"scales must be greater than 0, got {min(scales)}")
    reaches = [max(1, math.ceil(tail * scale)) for scale in scales]
    pmfs = [_gaussian_pmf(scale, reach) for scale, reach in zip(scales, reaches, strict=True)]
    return tables_from_pmfs(pmfs, [-reach for reach in reaches], precision, has_escape=True)


def _gaussian_pmf(scale: float, reach: int) -> NDArray[np.float64]:
    """Probabilities of `-reach … reach` and, last, of all integers beyond."""
    edges = [(i + 0.5) / (scale * math.sqrt(2)) for i in range(reach + 1)]
    above = [0.5, *(0.5 * math.erfc(edge) for edge in edges)]  # probability mass above 0, 1/2, 3/2 …
    half = [upper - lower for upper, lower in pairwise(above)]
    return np.array([*half[:0:-1], 2 * half[0], *half[1:], 2 * above[-1]])
