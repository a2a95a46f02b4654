"""Frozen tables: exact sums, optimal frequencies, known code lengths, and what a table refuses."""

import heapq
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from codec.coding import FrozenTables, encode, gaussian_tables, quantise_frequencies, tables_from_pmfs


@pytest.mark.parametrize("seed", range(20))
def test_frequencies_are_optimal(seed: int) -> None:
    """No cheaper than what giving out one count after the other, the plain greedy rule, arrives at."""
    rng = np.random.default_rng(seed)
    precision, size = int(rng.integers(4, 11)), int(rng.integers(1, 17))
    pmf = rng.random(size) ** rng.integers(1, 20) * (rng.random(size) < 0.8)
    pmf[0] += 1e-3
    frequencies = quantise_frequencies(pmf, precision)
    assert frequencies.sum() == 1 << precision
    assert frequencies.min() >= 1
    greedy = _greedy(pmf / pmf.sum(), precision)
    assert _cost(pmf, frequencies) == pytest.approx(_cost(pmf, greedy), rel=1e-12)


def _greedy(pmf: NDArray, precision: int) -> NDArray[np.int64]:
    frequencies = np.ones(pmf.size, np.int64)
    heap = [(-p * math.log(2), i) for i, p in enumerate(pmf)]
    heapq.heapify(heap)
    for _ in range((1 << precision) - pmf.size):
        _, i = heapq.heappop(heap)
        frequencies[i] += 1
        heapq.heappush(heap, (-pmf[i] * math.log1p(1 / frequencies[i]), i))
    return frequencies


def _cost(pmf: NDArray, frequencies: NDArray) -> float:
    return -(pmf * np.log2(frequencies / frequencies.sum())).sum()


@pytest.mark.parametrize(
    ("pmf", "precision"),
    [
        (np.ones(65536), 16),
        (np.ones(65535), 16),
        (np.ones(3), 24),
        (np.r_[1.0, np.zeros(65535)], 20),
        (np.r_[1.0, np.full(1000, 1e-300)], 12),
        (np.array([1e-320, 1e-310]), 8),
        (np.array([5.0]), 1),
        (np.exp(-np.arange(16384) / 3), 18),
    ],
)
def test_extreme_probabilities_still_sum_exactly(pmf: NDArray, precision: int) -> None:
    frequencies = quantise_frequencies(pmf, precision)
    assert frequencies.dtype == np.uint32
    assert int(frequencies.sum()) == 1 << precision
    assert frequencies.min() >= 1
    assert np.all(np.diff(frequencies[np.argsort(pmf, kind="stable")].astype(np.int64)) >= -1)


@pytest.mark.parametrize(
    ("pmf", "precision"),
    [(np.ones(5), 2), (np.ones(2), 0), (np.ones(2), 25), (np.ones((2, 2)), 8), (np.zeros(2), 8), (np.ones(0), 8)]
    + [(np.array([1, bad]), 8) for bad in (-1.0, np.nan, np.inf)],
)
def test_impossible_requests_are_refused(pmf: NDArray, precision: int) -> None:
    with pytest.raises(ValueError, match=r"precision|probabilities"):
        quantise_frequencies(pmf, precision)


def test_bits_are_the_code_length() -> None:
    tables = tables_from_pmfs([np.array([4, 2, 1, 1]), np.array([1, 3])], [-1, 5], 4, has_escape=True)
    assert tables.bits([0, 0, 0, 1], [-1, 0, 1, 5]).tolist() == [1, 2, 3, 2]
    escape = 4 - math.log2(12)
    assert tables.bits([[0], [1]], [[2], [6]]) == pytest.approx(np.array([[3 + 8], [escape + 8]]))
    assert tables.bits([1, 1, 1, 1], [69, 70, 4 - 63, 4 - 64]) == pytest.approx(escape + 8 * np.array([1, 2, 1, 2]))
    assert tables.bits([], []).shape == (0,)


def test_bits_of_a_symbol_without_a_place_are_refused() -> None:
    tables = tables_from_pmfs([np.ones(4)], [0], 4)
    with pytest.raises(ValueError, match="1 symbols lie outside"):
        tables.bits([0, 0], [3, 4])


@pytest.mark.parametrize("scale", [0.11, 0.5, 1.0, 3.0, 16.0, 64.0])
def test_gaussian_tables_cost_little_more_than_the_gaussian(scale: float) -> None:
    tables = gaussian_tables([scale])
    reach = math.ceil(9 * scale) + 1
    symbols = np.arange(-reach, reach + 1)
    edge = (symbols - 0.5) / (scale * math.sqrt(2)), (symbols + 0.5) / (scale * math.sqrt(2))
    pmf = np.array([0.5 * (math.erfc(a) - math.erfc(b)) for a, b in zip(*edge, strict=True)])
    pmf = np.where(symbols > 0, pmf[::-1], pmf)  # erfc is exact where it is small
    pmf = np.where(symbols < 0, pmf[::-1], pmf)
    ideal = -(pmf[pmf > 0] * np.log2(pmf[pmf > 0])).sum()
    assert 0 <= (pmf * tables.bits(np.zeros(symbols.size, int), symbols)).sum() - ideal < 0.001


def test_arrays_bring_the_same_tables_back() -> None:
    tables = gaussian_tables([0.2, 1.0, 9.0], precision=14)
    again = FrozenTables.from_arrays({name: array.astype(np.int64) for name, array in tables.to_arrays().items()})
    assert (again.precision, again.has_escape) == (14, True)
    symbols, rows = np.array([0, 3, -80]), np.array([0, 1, 2])
    assert encode(symbols, rows, again) == encode(symbols, rows, tables)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frequencies": np.array([3, 1, 2, 1], np.uint32)}, "sum to 2"),
        ({"frequencies": np.array([4, 0, 2, 2], np.uint32)}, "at least 1"),
        ({"frequencies": np.array([3, 1, 4], np.uint32)}, "add up to 4"),
        ({"sizes": np.array([4, 0])}, "add up to 4"),
        ({"offsets": np.array([0])}, "must be"),
        ({"offsets": np.array([0, 2**31 - 1])}, "31 bits"),
        ({"offsets": np.array([0, -(2**31)])}, "31 bits"),
        ({"precision": 25}, "precision"),
    ],
)
def test_tables_check_themselves(changes: dict[str, Any], message: str) -> None:
    sound = {"frequencies": np.array([3, 1, 2, 2], np.uint32), "sizes": np.array([2, 2]), "offsets": np.array([0, 5])}
    with pytest.raises(ValueError, match=message):
        FrozenTables(**{**sound, "precision": 2, "has_escape": False, **changes})


def test_wrong_builders_are_refused() -> None:
    with pytest.raises(ValueError, match="every table needs an offset"):
        tables_from_pmfs([np.ones(2)], [0, 1])
    with pytest.raises(ValueError, match="greater than 0"):
        gaussian_tables([1.0, 0.0])
