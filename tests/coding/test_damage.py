"""Damaged streams: a clear error or wrong symbols with a mismatch at the end, never a crash, a hang or a large allocation."""

import contextlib

import numpy as np
import pytest
from numpy.typing import NDArray

from codec.coding import Decoder, FrozenTables, decode, encode, gaussian_tables
from codec.coding.varint import pack_varints, unpack_varints
from codec.errors import BitstreamError
from tests.coding.samples import random_tables, symbols_for


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_every_cut_is_noticed(lanes: int) -> None:
    rng = np.random.default_rng(0)
    tables = random_tables(rng, 12, has_escape=True)
    rows = rng.integers(0, tables.sizes.size, 200)
    symbols = symbols_for(rng, tables, rows)
    data = encode(symbols, rows, tables, lanes)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            decode(data[:length], rows, tables)
    for tail in (b"\0", b"\1\2\3", bytes(4), bytes(64)):
        with pytest.raises(BitstreamError):
            decode(data + tail, rows, tables)


@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_a_flipped_bit_is_noticed_or_is_another_valid_stream(lanes: int) -> None:
    """Two symbols of equal frequency differ only in a slot, so only a checksum can see all; but no two streams are one."""
    rng = np.random.default_rng(1)
    tables = random_tables(rng, 14, has_escape=True)
    rows = rng.integers(0, tables.sizes.size, 100)
    symbols = symbols_for(rng, tables, rows)
    data = encode(symbols, rows, tables, lanes)
    noticed = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            others = decode(damaged, rows, tables)
        except BitstreamError:
            noticed += 1
            continue
        assert np.any(others != symbols)
        assert encode(others, rows, tables, 1 << (damaged[0] & 3)) == damaged
    assert noticed > 4 * len(data)


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_never_crash(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, int(rng.integers(1, 25)), has_escape=True)
    rows = rng.integers(0, tables.sizes.size, 50)
    frequencies = np.tile([1, 0, 7], (10, 1))
    for _ in range(500):
        data = bytes([rng.integers(0, 8)]) + rng.bytes(int(rng.integers(0, 90)))
        with pytest.raises(BitstreamError):
            _decode_mixed(data, rows, tables, frequencies)


def _decode_mixed(data: bytes, rows: NDArray[np.int64], tables: FrozenTables, frequencies: NDArray[np.int64]) -> None:
    decoder = Decoder(data)
    decoder.pull_rows(rows, tables)
    decoder.pull_frequencies(frequencies, 3)
    decoder.finish()


@pytest.mark.parametrize("seed", range(4))
def test_several_flips_at_once_never_crash(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    tables = gaussian_tables([0.2, 1.0, 6.0])
    rows = rng.integers(0, 3, 300)
    symbols = rng.integers(-30, 30, rows.size)
    data = np.frombuffer(encode(symbols, rows, tables, int(2 ** rng.integers(0, 4))), np.uint8)
    for _ in range(300):
        damaged = data.copy()
        damaged[rng.integers(0, data.size, 5)] ^= rng.integers(0, 256, 5, np.uint8)
        with contextlib.suppress(BitstreamError):
            assert decode(damaged.tobytes(), rows, tables).shape == rows.shape


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x08", "reserved bits"),
        (b"\x80", "reserved bits"),
        (b"\x00\x00\x01", "fewest bytes"),
        (b"\x00\x05\x00", "fewest bytes"),
        (b"\x00" + bytes(9), "fewest bytes"),
        (b"\x01" + bytes(15), "15 bytes are not 16"),
        (b"\x01" + b"\x01" * 18, "18 bytes are not 16"),
        (b"\x02" + bytes(32), "below 2"),
        (b"\x04", "missing"),
        (b"\x04\x00", "0 bytes of escapes"),
        (b"\x04\x05\x01", "5 bytes of escapes, but 1"),
        (b"\x04\xff\xff\xff\xff\x7f\x01", "bytes of escapes, but 1"),
        (b"\x04\xff\xff\xff\xff\xff\x01", "cut off"),
        (b"\x04\x02\x80\x80", "cut off"),
        (b"\x04\x02\x80\x00", "longer than it needs"),
        (b"\x04\x06\x80\x80\x80\x80\x80\x01", "longer than it needs"),
    ],
)
def test_what_is_wrong_is_named(data: bytes, message: str) -> None:
    with pytest.raises(BitstreamError, match=message):
        Decoder(data)


def test_an_escape_beyond_32_bits_is_refused() -> None:
    tables, row = gaussian_tables([0.5]), np.zeros(1, np.int64)
    data = encode(np.array([2**31 - 1]), row, tables)
    assert data[1] == 5
    forged = data[:6] + b"\x1f" + data[7:]
    with pytest.raises(BitstreamError, match="does not fit 32 bits"):
        decode(forged, row, tables)


def test_too_few_escapes_are_noticed() -> None:
    tables, rows = gaussian_tables([0.5]), np.zeros(2, np.int64)
    data = encode(np.array([100, 100]), rows, tables)
    count = data[1]
    with pytest.raises(BitstreamError, match="no escape is left"):
        decode(data[:1] + bytes([count // 2]) + data[2 : 2 + count // 2] + data[2 + count :], rows, tables)


def test_varints_come_back() -> None:
    values = np.array([0, 1, 127, 128, 16383, 16384, 2**21, 2**28 - 1, 2**28, 2**35 - 1])
    data = pack_varints(values)
    assert len(data) == 1 + 1 + 1 + 2 + 2 + 3 + 4 + 4 + 5 + 5
    np.testing.assert_array_equal(unpack_varints(data, "test"), values)
    assert pack_varints(values[:0]) == b""
