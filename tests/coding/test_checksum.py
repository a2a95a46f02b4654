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


def test_a_checksum_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        crc32c(b"", -1)
