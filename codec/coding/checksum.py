"""CRC-32C: the checksum of every section of a file, in plain Python so that `codec info` imports nothing for it.

Castagnoli et al. 1993, "Optimization of cyclic redundancy-check codes with 24 and 32 parity bits". Short pieces go
byte by byte (11 MB/s). Long ones are folded as in Gopal et al. 2009, "Fast CRC computation for generic polynomials
using PCLMULQDQ instruction": a checksum is linear over GF(2), so a block can be moved a fixed distance ahead and
XORed into what stands there. Moving is a table lookup for each byte, which `bytes.translate` does for a whole block
(130 MB/s, more than any model reads). Where the coder is loaded anyway, its compiled loop does all.
"""

from __future__ import annotations

import sys
from functools import cache

_POLYNOMIAL = 0x82F63B78  # 0x1EDC6F41 with its bits reversed
_LANES = range(4)  # byte places in a checksum, lowest first
_BLOCK_BYTES = 1 << 13
_WORTH_A_CALL = 256  # bytes from which compiled code is quicker


def _make_table() -> tuple[int, ...]:
    """What a byte adds to the checksum."""
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (_POLYNOMIAL if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)


_TABLE = _make_table()


def crc32c(data: bytes | bytearray | memoryview, value: int = 0) -> int:
    """Checksum of `data`, or of all that came before with checksum `value` followed by `data`; 0 to 2^32 - 1."""
    if not 0 <= value < 1 << 32:
        raise ValueError(f"a CRC-32C lies in [0, 2^32), got {value}")
    crc, rest = value ^ 0xFFFFFFFF, data
    if "codec.coding.kernels" in sys.modules and len(data) >= _WORTH_A_CALL:
        return _compiled(crc, data) ^ 0xFFFFFFFF
    if len(data) >= 2 * _BLOCK_BYTES:
        folded, rest = _fold(bytes(data), crc)
        crc = _update(0, folded)
    return _update(crc, rest) ^ 0xFFFFFFFF


def _compiled(crc: int, data: bytes | bytearray | memoryview) -> int:
    """As `_update`, where the coder's compiled loops are at hand anyway."""
    import numpy as np

    from codec.coding.kernels import update_crc

    return int(update_crc(crc, np.frombuffer(data, np.uint8), np.array(_TABLE, np.int64)))


def _update(crc: int, data: bytes | bytearray | memoryview) -> int:
    table = _TABLE
    for octet in data:
        crc = table[(crc ^ octet) & 0xFF] ^ crc >> 8
    return crc


def _fold(data: bytes, crc: int) -> tuple[bytes, bytes]:
    """One block with the checksum, from zero, of all whole blocks of `data` from `crc`; and what is left behind them."""
    moved = _moves()
    end = len(data) - len(data) % _BLOCK_BYTES
    front = (int.from_bytes(data[:4], "little") ^ crc).to_bytes(4, "little") + data[4:_BLOCK_BYTES]
    lanes = [front[place::4] for place in _LANES]
    for first in range(_BLOCK_BYTES, end, _BLOCK_BYTES):
        sums = [int.from_bytes(data[first + place : first + _BLOCK_BYTES : 4], "little") for place in _LANES]
        for lane, tables in zip(lanes, moved, strict=True):
            sums = [
                total ^ int.from_bytes(lane.translate(table), "little")
                for total, table in zip(sums, tables, strict=True)
            ]
        lanes = [total.to_bytes(_BLOCK_BYTES // 4, "little") for total in sums]
    return bytes(octet for word in zip(*lanes, strict=True) for octet in word), data[end:]


@cache
def _moves() -> tuple[tuple[bytes, ...], ...]:
    """For each lane that a byte leaves and each that it enters: the byte that it becomes a block further on."""
    bits = [_TABLE[1 << bit] if bit < 8 else 1 << bit - 8 for bit in range(32)]  # each bit of a checksum, a byte on
    for _ in range(_BLOCK_BYTES.bit_length() - 1):
        bits = [_combine(bits, entry) for entry in bits]
    return tuple(_tables_of_lane(bits[8 * lane : 8 * lane + 8]) for lane in _LANES)


def _combine(bits: list[int], entry: int) -> int:
    """Where the map with these images of single bits takes `entry`."""
    total = 0
    for bit, image in enumerate(bits):
        total ^= image if entry >> bit & 1 else 0
    return total


def _tables_of_lane(bits: list[int]) -> tuple[bytes, ...]:
    entries = [0]
    for image in bits:
        entries += [entry ^ image for entry in entries]
    return tuple(bytes(entry >> 8 * lane & 0xFF for entry in entries) for lane in _LANES)
