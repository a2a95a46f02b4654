"""CRC-32C against published values (RFC 3720, appendix B.4) and against itself in pieces."""

import numpy as np
import pytest

from codec.coding import crc32c


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_published_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == crc32c(bytearray(data)) == crc32c(memoryview(data)) == expected


def test_pieces_give_the_checksum_of_the_whole() -> None:
    data = np.random.default_rng(0).bytes(100)
    for cut in range(100):
        assert crc32c(data[cut:], crc32c(data[:cut])) == crc32c(data)


@pytest.mark.parametrize("size", [16383, 16384, 16385, 24576, 24579, 100003])
def test_long_data_are_folded_to_the_same_checksum(size: int) -> None:
    data = np.random.default_rng(1).bytes(size)
    slow = 77
    for first in range(0, size, 5000):  # pieces too short to be folded
        slow = crc32c(data[first : first + 5000], slow)
    assert crc32c(data, 77) == crc32c(memoryview(data), 77) == slow


def test_a_checksum_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        crc32c(b"", -1)
