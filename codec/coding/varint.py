"""LEB128: unsigned integers in groups of seven bits, least significant first; bit 7 says that another byte follows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codec.errors import BitstreamError

_LONGEST = 5  # bytes; 35 bits hold everything this room writes
_PLACES = np.arange(_LONGEST)


def varint_bytes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many bytes each of `(n,)` values below 2^35 takes."""
    return 1 + (values[:, None] >= 1 << 7 * _PLACES[1:]).sum(1)


def pack_varints(values: NDArray[np.int64]) -> bytes:
    """`(n,)` values in [0, 2^35), one after the other."""
    lengths = varint_bytes(values)[:, None]
    groups = (values[:, None] >> 7 * _PLACES) & 0x7F
    groups |= (lengths - 1 > _PLACES) * 0x80
    return groups[lengths > _PLACES].astype(np.uint8).tobytes()


def unpack_varints(data: bytes | memoryview, section: str) -> NDArray[np.int64]:
    """All values in `data`, int64 `(n,)`; `section` names it should it be damaged."""
    octets = np.frombuffer(data, np.uint8).astype(np.int64)
    ends = np.flatnonzero(octets < 0x80)
    if octets.size == 0:
        return octets
    if ends.size == 0 or ends[-1] != octets.size - 1:
        raise BitstreamError("the last integer is cut off", section)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts + 1
    if lengths.max() > _LONGEST or np.any((lengths > 1) & (octets[ends] == 0)):
        raise BitstreamError(f"an integer is longer than it needs to be or than {_LONGEST} bytes", section)
    places = np.arange(octets.size) - np.repeat(starts, lengths)
    return np.add.reduceat((octets & 0x7F) << 7 * places, starts)


def unpack_varint(data: bytes | memoryview, section: str) -> tuple[int, int]:
    """The value at the head of `data` and the number of bytes it takes."""
    head = bytes(data[:_LONGEST])
    length = next((i + 1 for i, octet in enumerate(head) if octet < 0x80), len(head))
    values = unpack_varints(head[:length], section)
    if values.size == 0:
        raise BitstreamError("an integer is missing", section)
    return int(values[0]), length
