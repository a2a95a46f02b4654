"""The coder: equal to its reference, exact both ways, as small as an independent coder, fixed for all time."""

import constriction
import numpy as np
import pytest

from codec.coding import Decoder, Encoder, decode, encode, gaussian_tables, reference, tables_from_pmfs
from codec.errors import ModelMismatchError
from tests.coding.samples import random_pushes, random_tables, symbols_for

LANES = (1, 2, 4, 8)
GOLDEN = {
    1: "04 03 d5 04 00 e4 4f 1a",
    2: "05 03 d5 04 00 f2 2a 80 d5 2a 00 00 00 fc 30 0a d7 a3 00 00 00",
}
GOLDEN_WORDS = "00 70 5e 3c 1a f8 d6 00 01 81 6f 4d 2b 09 e7 c5 a3 81 6f 4d 2b 09 e7 c5 a3 81 6f 4d 2b 09 e7 c5 a3"


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("seed", range(30))
def test_equals_the_reference_byte_for_byte_and_both_decode_it(seed: int, lanes: int) -> None:
    pushes = random_pushes(np.random.default_rng(seed))
    encoder = Encoder(lanes)
    for push in pushes:
        push.encode(encoder)
    data = encoder.finish()
    symbols = [symbol for push in pushes for symbol in push.symbols.tolist()]
    tables = [table for push in pushes for table in push.reference_tables()]
    assert data == reference.encode(symbols, tables, lanes)
    assert reference.decode(data, tables) == symbols
    decoder = Decoder(data)
    for push in pushes:
        np.testing.assert_array_equal(push.decode(decoder), push.symbols)
    decoder.finish()


@pytest.mark.parametrize("seed", range(300))
def test_short_streams_in_one_lane_come_back(seed: int) -> None:
    """Where the state and the words meet: the sizes at which a wrong split would show."""
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, int(rng.integers(8, 25)), has_escape=False)
    for count in range(20):
        rows = rng.integers(0, tables.sizes.size, count)
        symbols = symbols_for(rng, tables, rows)
        np.testing.assert_array_equal(decode(encode(symbols, rows, tables, 1), rows, tables), symbols)


@pytest.mark.parametrize("lanes", LANES)
def test_pulls_need_not_match_pushes(lanes: int) -> None:
    rng = np.random.default_rng(0)
    tables = random_tables(rng, 12, has_escape=True)
    rows = rng.integers(0, tables.sizes.size, 500)
    symbols = symbols_for(rng, tables, rows)
    decoder = Decoder(encode(symbols, rows, tables, lanes))
    pulled = [decoder.pull_rows(part, tables) for part in np.split(rows, [1, 2, 7, 7, 300])]
    decoder.finish()
    np.testing.assert_array_equal(np.concatenate(pulled), symbols)


def test_any_integer_layout_gives_the_same_bytes() -> None:
    rng = np.random.default_rng(1)
    tables = gaussian_tables([1.0, 4.0])
    rows, symbols = rng.integers(0, 2, 100), rng.integers(-3, 4, 100)
    expected = encode(symbols, rows, tables)
    frozen = rows.copy()
    frozen.flags.writeable = False
    strided = np.repeat(symbols, 2).astype(np.int16)[::2]
    assert encode(strided, frozen.astype(np.uint8), tables) == encode(symbols.astype(">i4"), frozen, tables) == expected
    np.testing.assert_array_equal(decode(memoryview(expected), frozen, tables), symbols)
    np.testing.assert_array_equal(decode(bytearray(expected), np.repeat(rows, 2)[::2], tables), symbols)


def test_what_was_pushed_may_change_afterwards() -> None:
    tables = gaussian_tables([2.0])
    symbols, rows = np.arange(-4, 5), np.zeros(9, np.int64)
    encoder = Encoder()
    encoder.push_rows(symbols, rows, tables)
    symbols[:] = 0
    np.testing.assert_array_equal(decode(encoder.finish(), rows, tables), np.arange(-4, 5))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("precision", [1, 16, 24])
def test_a_symbol_that_owns_the_whole_table_costs_nothing(lanes: int, precision: int) -> None:
    tables = tables_from_pmfs([np.ones(1)], [7], precision)
    rows = np.zeros(1000, np.int64)
    data = encode(rows + 7, rows, tables, lanes)
    assert len(data) == (1 if lanes == 1 else 1 + 8 * lanes)
    np.testing.assert_array_equal(decode(data, rows, tables), rows + 7)


@pytest.mark.parametrize("value", [4, -4, 10**6, -(10**6), 2**31 - 1, -(2**31)])
def test_escapes_reach_as_far_as_32_bits(value: int) -> None:
    tables, row = gaussian_tables([0.5]), np.zeros(3, np.int64)
    symbols = np.array([0, value, 1])
    np.testing.assert_array_equal(decode(encode(symbols, row, tables), row, tables), symbols)


def test_many_escapes() -> None:
    tables, rows = gaussian_tables([0.2]), np.zeros(20_000, np.int64)
    symbols = np.random.default_rng(2).integers(-500, 500, rows.size)
    np.testing.assert_array_equal(decode(encode(symbols, rows, tables), rows, tables), symbols)


@pytest.mark.parametrize(("lanes", "most"), [(1, 4), (2, 17), (4, 33), (8, 65)])
def test_overhead_beyond_the_code_length(lanes: int, most: int) -> None:
    """Bytes beyond `bits` and the coder's own loss: the head, the states, and what the start of one lane wastes."""
    rng = np.random.default_rng(3)
    tables = tables_from_pmfs([rng.random(30) ** 3 for _ in range(16)], [0] * 16)
    for count in (0, 1, 2, 3, 10, 30, 100, 1000, 10_000, 100_000):
        rows, symbols = rng.integers(0, 16, count), rng.integers(0, 30, count)
        overhead = len(encode(symbols, rows, tables, lanes)) - tables.bits(rows, symbols).sum() / 8
        assert 0 < overhead <= most + 3e-5 * count


def test_lanes_are_chosen_by_size() -> None:
    rng = np.random.default_rng(4)
    tables = gaussian_tables([0.05, 3.0])
    rows = np.ones(300_000, np.int64)
    symbols = np.clip(np.rint(rng.normal(0, 3, rows.size)), -12, 12).astype(np.int64)
    assert encode(symbols, rows, tables) == encode(symbols, rows, tables, 8)
    assert encode(symbols[:70_000], rows[:70_000], tables) == encode(symbols[:70_000], rows[:70_000], tables, 4)
    assert encode(symbols[:1000], rows[:1000], tables) == encode(symbols[:1000], rows[:1000], tables, 1)
    assert encode(0 * symbols, 0 * rows, tables) == encode(0 * symbols, 0 * rows, tables, 1)


@pytest.mark.parametrize("precision", [18, 20])
def test_a_large_alphabet(precision: int) -> None:
    rng = np.random.default_rng(5)
    tables = tables_from_pmfs([np.exp(-np.arange(16384) / 800)], [0], precision)
    rows = np.zeros(20_000, np.int64)
    symbols = rng.choice(16384, rows.size, p=tables.frequencies / 2.0**precision)
    data = encode(symbols, rows, tables, 4)
    np.testing.assert_array_equal(decode(data, rows, tables), symbols)
    assert len(data) * 8 <= 1.001 * tables.bits(rows, symbols).sum() + 300


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0, 20.0])
def test_size_equals_that_of_an_independent_coder(scale: float) -> None:
    rng = np.random.default_rng(6)
    count = 200_000
    symbols = np.rint(rng.normal(0, scale, count)).astype(np.int32)
    yardstick = constriction.stream.stack.AnsCoder()
    yardstick.encode_reverse(symbols, constriction.stream.model.QuantizedGaussian(-200, 200, 0.0, scale))
    theirs = yardstick.get_compressed().nbytes
    ours = len(encode(symbols, np.zeros(count, np.int64), gaussian_tables([scale]), 1))
    assert ours <= 1.001 * theirs


@pytest.mark.parametrize("lanes", LANES)
def test_other_tables_are_noticed(lanes: int) -> None:
    rng = np.random.default_rng(7)
    rows = np.zeros(2000, np.int64)
    symbols = np.rint(rng.normal(0, 2, rows.size)).astype(np.int64)
    data = encode(symbols, rows, gaussian_tables([2.0]), lanes)
    with pytest.raises(ModelMismatchError):
        decode(data, rows, gaussian_tables([2.1]))
    with pytest.raises(ModelMismatchError, match="after 1999 symbols"):
        decode(data, rows[1:], gaussian_tables([2.0]))


def test_golden_bytes() -> None:
    """Two pushes of different precision and two escapes; a change here is a new version of the format."""
    tables = tables_from_pmfs([np.array([1, 2, 4, 1]), np.array([6, 1, 1])], [-1, 0], 4, has_escape=True)
    for lanes, expected in GOLDEN.items():
        encoder = Encoder(lanes)
        encoder.push_rows(np.array([0, 1, 1, -300, 0, 2]), np.array([0, 0, 1, 0, 1, 1]), tables)
        encoder.push_frequencies(np.array([2, 0]), np.array([[1, 0, 255], [200, 56, 0]]), 8)
        assert encoder.finish().hex(" ") == expected


def test_golden_words() -> None:
    """Sixty symbols of a flat table: 30 bytes of information in a state and its words."""
    tables = tables_from_pmfs([np.ones(16)], [0], 4)
    symbols, rows = np.arange(60) * 7 % 16, np.zeros(60, np.int64)
    assert encode(symbols, rows, tables, 1).hex(" ") == GOLDEN_WORDS


@pytest.mark.parametrize(
    ("symbols", "rows", "message"),
    [
        ([3], [0], "symbol 3 lies outside table 0, which holds 0..2"),
        ([-1], [0], "outside table 0"),
        ([0], [1], "row 1 is not one of the 1 tables"),
        ([0], [-1], "row -1 is not one"),
        ([0, 1], [0], "2 symbols and 1 rows"),
        ([0.0], [0], "expected integers"),
        ([[0]], [[0]], "with 1 axes"),
    ],
)
def test_wrong_pushes_are_refused(symbols: list, rows: list, message: str) -> None:
    tables = tables_from_pmfs([np.ones(3)], [0], 8)
    with pytest.raises(ValueError, match=message):
        encode(np.array(symbols), np.array(rows), tables)


def test_symbols_beyond_32_bits_and_missing_rows_are_refused() -> None:
    tables = gaussian_tables([1.0])
    with pytest.raises(ValueError, match="32 bits"):
        encode(np.array([2**31]), np.array([0]), tables)
    with pytest.raises(ValueError, match="symbol 0 names a table that does not exist"):
        decode(encode(np.array([0]), np.array([0]), tables), np.array([5]), tables)
    with pytest.raises(ValueError, match="lanes must be one of"):
        Encoder(3)


@pytest.mark.parametrize("row", [[1, 2, 3], [300, -44, 0], [0, 256, 0]])
def test_wrong_frequencies_are_refused(row: list[int]) -> None:
    with pytest.raises(ValueError, match="row 0"):
        Encoder().push_frequencies(np.array([0]), np.array([row]), 8)
    if row[0]:
        with pytest.raises(ValueError, match="row 0"):
            Decoder(b"\0\1\2").pull_frequencies(np.array([row]), 8)
    with pytest.raises(ValueError, match="precision must lie in"):
        Encoder().push_frequencies(np.array([0]), np.array([row]), 25)
