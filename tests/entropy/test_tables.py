"""Integer tables: softmax and Gaussians without a float at the decoder."""

import numpy as np
import pytest

from codec.entropy import StoredTables, frequencies_from_logits, nearest_row, scale_tables
from codec.entropy.tables import SCALE_ROWS, exponential_table, scales


@pytest.mark.parametrize("precision", [8, 12, 16, 20, 24])
def test_frequencies_sum_exactly_and_leave_no_symbol_out(precision: int) -> None:
    logits = np.random.default_rng(0).normal(0, 600, (300, 40)).astype(np.int64)
    logits[0], logits[1, 0], logits[2, 0] = 5, 1 << 20, -(1 << 20)
    frequencies = frequencies_from_logits(logits, precision)
    assert (frequencies.sum(1) == 1 << precision).all()
    assert frequencies.min() >= 1
    assert frequencies_from_logits(logits[:0], precision).shape == (0, 40)


def test_frequencies_follow_softmax() -> None:
    logits = np.random.default_rng(1).normal(0, 600, (300, 40)).astype(np.int64)
    shares = np.exp((logits - logits.max(1, keepdims=True)) / 256)
    shares /= shares.sum(1, keepdims=True)
    assert np.abs(frequencies_from_logits(logits, 20) / 2**20 - shares).max() < 1e-4


def test_more_symbols_than_frequencies_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        frequencies_from_logits(np.zeros((1, 5), np.int64), 2)


def test_the_exponential_is_what_it_says_and_frozen() -> None:
    table = exponential_table()
    assert np.abs(table - 2**16 * np.exp(-np.arange(len(table)) / 256)).max() <= 0.5 + 1e-6
    assert (table[0], table[1], table[256], int(table.sum())) == (65536, 65280, 24109, 16809922)


def test_rows_are_nearest_in_the_logarithm() -> None:
    logarithms = np.arange(-1000, 2300)
    rows = nearest_row(logarithms)
    distance = np.abs(np.log2(scales())[None] - logarithms[:, None] / 256)
    assert rows.min() == 0
    assert rows.max() == SCALE_ROWS - 1
    assert (distance[np.arange(len(rows)), rows] <= distance.min(1) + 1e-9).all()


def test_64_scales_cost_less_than_a_fifth_of_a_percent() -> None:
    """Methods sheet A3: nearest of 64 rows costs 0.001 to 0.0018 bit a symbol against the exact scale."""
    random, tables = np.random.default_rng(0), scale_tables()
    for sigma in (0.5, 3.3, 40.0):
        symbols = np.rint(random.normal(0, sigma, 20000)).astype(np.int64)
        row = int(nearest_row(np.array([round(256 * np.log2(sigma))]))[0])
        best = min(float(tables.bits(np.full(symbols.shape, r), symbols).mean()) for r in range(SCALE_ROWS))
        assert float(tables.bits(np.full(symbols.shape, row), symbols).mean()) <= best + 0.002


def test_stored_tables_keep_what_is_set_through_a_state_dict() -> None:
    one, two = StoredTables(scale_tables()), StoredTables(scale_tables())
    changed = one.frequencies.clone()
    changed[0], changed[1] = changed[0] + 1, changed[1] - 1
    assert two.tables.frequencies[0] == one.tables.frequencies[0]
    two.load_state_dict({"frequencies": changed})
    assert two.tables.frequencies[0] == one.tables.frequencies[0] + 1
    one.set(two.tables)
    assert np.array_equal(one.tables.frequencies, changed.numpy())
