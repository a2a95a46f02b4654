"""CRC-32C: the checksum of every section of a file.

Castagnoli et al. 1993, "Optimization of cyclic redundancy-check codes with 24 and 32 parity bits"; eight bytes a
step as in Kounavis and Berry 2005, "A systematic approach to building high performance software-based CRC
generators".
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # 0x1EDC6F41 with its bits reversed


def _make_tables() -> NDArray[np.uint32]:
    """`(8, 256)`: what a byte adds to the checksum once 0 to 7 further bytes have passed."""
    tables = np.empty((8, 256), np.uint32)
    tables[0] = np.arange(256)
    for _ in range(8):
        tables[0] = (tables[0] >> 1) ^ (tables[0] & 1) * np.uint32(_POLYNOMIAL)
    for i in range(1, 8):
        tables[i] = (tables[i - 1] >> 8) ^ tables[0][tables[i - 1] & 0xFF]
    return tables


_TABLES = _make_tables()


@njit(cache=True)
def _update(crc: np.int64, data: NDArray[np.uint8], tables: NDArray[np.uint32]) -> np.int64:
    whole = data.size - data.size % 8
    for i in range(0, whole, 8):
        changed = tables[7, data[i] ^ (crc & 0xFF)] ^ tables[6, data[i + 1] ^ ((crc >> 8) & 0xFF)]
        changed ^= tables[5, data[i + 2] ^ ((crc >> 16) & 0xFF)] ^ tables[4, data[i + 3] ^ (crc >> 24)]
        changed ^= tables[3, data[i + 4]] ^ tables[2, data[i + 5]]
        crc = np.int64(changed ^ tables[1, data[i + 6]] ^ tables[0, data[i + 7]])
    for i in range(whole, data.size):
        crc = (crc >> 8) ^ np.int64(tables[0, (crc ^ data[i]) & 0xFF])
    return crc


def crc32c(data: bytes | bytearray | memoryview, value: int = 0) -> int:
    """Checksum of `data`, or of all that came before with checksum `value` followed by `data`; 0 to 2^32 - 1."""
    if not 0 <= value < 1 << 32:
        raise ValueError(f"a CRC-32C lies in [0, 2^32), got {value}")
    octets = np.frombuffer(data, np.uint8)
    octets.flags.writeable = False  # one compiled version for bytes and bytearrays
    return int(_update(np.int64(value ^ 0xFFFFFFFF), octets, _TABLES)) ^ 0xFFFFFFFF
