"""Integer tables from integer networks: frequencies from logits, and the row of a Gaussian from a logarithmic scale."""

import math
from functools import cache, cached_property

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.coding import FrozenTables, gaussian_tables

LOGIT_BITS = 8  # logits and logarithmic scales come in 1/256
EXPONENTIAL_ENTRIES = 1 << 12  # beyond 16 nats below the largest logit a symbol keeps only its guaranteed unit
_DECAY = 18_374_827_034_086_858_296  # 2^64 exp(-1/256), rounded down

SCALE_ROWS = 64
SIGMA_BITS = 10  # scales that are not logarithmic come in 1/1024
SCALE_FIRST, SCALE_STEP = -815, 45  # log2 of the scale in 1/256: 0.110, then steps of 2^(45/256), up to 237


@cache
def exponential_table() -> NDArray[np.int64]:
    """2^16 exp(-i / 256), from integers alone."""
    value, entries = 1 << 64, []
    for _ in range(EXPONENTIAL_ENTRIES):
        entries.append((value + (1 << 47)) >> 48)
        value = value * _DECAY >> 64
    return np.array(entries, dtype=np.int64)


def frequencies_from_logits(logits: NDArray[np.int64], precision: int) -> NDArray[np.int64]:
    """Integer logits `(n, A)` in 1/256 nat to frequencies `(n, A)`, each at least 1, every row exactly 2^precision.

    Softmax in integers: a lookup exponential of the distance from the row's largest, an integer division; what the divisions
    leave over goes to the first largest.
    """
    count = logits.shape[1]
    if count > 1 << precision:
        raise ValueError(f"{count} symbols do not fit into 2^{precision} frequencies")
    frequencies = np.empty(logits.shape, np.int64)
    _softmax(np.ascontiguousarray(logits, np.int64), exponential_table(), 1 << precision, frequencies)
    return frequencies


@njit(cache=True, nogil=True, error_model="numpy")
def _softmax(logits, exponentials, total, frequencies):  # type: ignore[no-untyped-def]
    """Fill the frequencies `(n, A)`, row by row."""
    count, symbols = logits.shape
    for i in range(count):
        first = 0
        for symbol in range(1, symbols):
            if logits[i, symbol] > logits[i, first]:
                first = symbol
        weights = 0
        for symbol in range(symbols):
            below = min(logits[i, first] - logits[i, symbol], exponentials.size - 1)
            frequencies[i, symbol] = exponentials[below]
            weights += exponentials[below]
        left = total
        for symbol in range(symbols):
            frequencies[i, symbol] = 1 + frequencies[i, symbol] * (total - symbols) // weights
            left -= frequencies[i, symbol]
        frequencies[i, first] += left


def nearest_row(log_scales: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integer log2 of scales in 1/256 to the row of `scale_tables` nearest in the logarithm."""
    return np.clip((log_scales - SCALE_FIRST + SCALE_STEP // 2) // SCALE_STEP, 0, SCALE_ROWS - 1)


def row_of_scale(scales: NDArray[np.int64]) -> NDArray[np.int64]:
    """As `nearest_row`, of scales themselves, integers in 2^-SIGMA_BITS: by integer borders between the rows."""
    return np.searchsorted(_row_borders(), scales, side="right")


@cache
def _row_borders() -> NDArray[np.int64]:
    """`(63,)`: the least scale in 2^-SIGMA_BITS that belongs to each row after the first, by integer roots alone."""
    exponents = (512 * SIGMA_BITS + 2 * SCALE_FIRST + SCALE_STEP * (2 * row - 1) for row in range(1, SCALE_ROWS))
    return np.array([1 + _root512(1 << exponent) for exponent in exponents], np.int64)


def _root512(value: int) -> int:
    """The root of 512th degree, rounded down: nine square roots."""
    for _ in range(9):
        value = math.isqrt(value)
    return value


def scales() -> NDArray[np.float64]:
    """`(64,)` standard deviations of the rows."""
    return 2.0 ** ((SCALE_FIRST + SCALE_STEP * np.arange(SCALE_ROWS)) / 256)


@cache
def scale_tables() -> FrozenTables:
    """Gaussians of the rows. Made from floats: a model stores the integers and never makes them again."""
    return gaussian_tables(scales().tolist())


class StoredTables(nn.Module):
    """Frozen tables as a part of a model: the integers are stored, their layout comes from the constructor.

    Args:
        tables: for their layout, and what they hold until others are set or loaded.
    """

    frequencies: Tensor  # int32, all tables one after the other

    def __init__(self, tables: FrozenTables) -> None:
        super().__init__()
        self._start = tables
        self.register_buffer("frequencies", torch.from_numpy(tables.frequencies.astype(np.int32)))

    @cached_property
    def tables(self) -> FrozenTables:
        """What the coder takes."""
        start, frequencies = self._start, self.frequencies.cpu().numpy().astype(np.uint32)
        return FrozenTables(frequencies, start.sizes, start.offsets, start.precision, start.has_escape)

    def set(self, tables: FrozenTables) -> None:
        """Hold other integers, in the same layout."""
        self.frequencies.copy_(torch.from_numpy(tables.frequencies.astype(np.int32)))
        self.__dict__.pop("tables", None)

    def reset(self) -> None:
        """Hold what the constructor was given."""
        self.set(self._start)

    def _load_from_state_dict(self, *arguments: object) -> None:
        super()._load_from_state_dict(*arguments)
        self.__dict__.pop("tables", None)
