"""Samples as bytes of a file, little-endian, to float32 with full scale 1 and back.

Integers of up to 24 bits come back bit for bit; of 32 bits float32 keeps the upper 24.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codec.media.sound import Encoding, Samples

Stored = Encoding | Literal["DOUBLE"]
SAMPLE_BYTES: dict[Stored, int] = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}


def from_bytes(data: bytes, stored: Stored, channels: int) -> Samples:
    """Interleaved samples to `(n, C)`; bytes short of a whole sample at the end are dropped."""
    whole = memoryview(data)[: len(data) - len(data) % (SAMPLE_BYTES[stored] * channels)]
    return _decoded(np.frombuffer(whole, np.uint8), stored).reshape(-1, channels)


def to_bytes(block: Samples, encoding: Encoding) -> bytes:
    """`(n, C)` to interleaved samples; what is beyond full scale becomes full scale, but for floats."""
    if encoding == "FLOAT":
        return block.astype("<f4").tobytes()
    width = SAMPLE_BYTES[encoding]
    integers = to_integers(block, 8 * width)
    if encoding == "PCM_U8":
        return (integers + 128).astype(np.uint8).tobytes()
    return np.ascontiguousarray(integers.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :width]).tobytes()


def to_integers(block: Samples, bits: int) -> NDArray[np.int32]:
    """The nearest of the integers of so many bits, clipped to their range."""
    scale = 1 << (bits - 1)
    return np.rint(block.astype(np.float64) * scale).clip(-scale, scale - 1).astype(np.int32, order="C")


def to_unit(values: NDArray[np.generic]) -> Samples:
    """Samples of any type that decoders give, integers by their full range, to float32 with full scale 1."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes an infinity is refused later
            return values.astype(np.float32)
    scale = np.float32(2.0 ** (1 - 8 * values.dtype.itemsize))
    middle = np.float32(1 if values.dtype.kind == "u" else 0)
    return np.asarray(values.astype(np.float32) * scale - middle, np.float32)


def _decoded(data: NDArray[np.uint8], stored: Stored) -> Samples:
    if stored == "PCM_24":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = data.reshape(-1, 3)
        return to_unit(wide.view("<i4")[:, 0])
    kinds: dict[Stored, str] = {"PCM_U8": "u1", "PCM_16": "<i2", "PCM_32": "<i4", "FLOAT": "<f4", "DOUBLE": "<f8"}
    return to_unit(data.view(kinds[stored]))
