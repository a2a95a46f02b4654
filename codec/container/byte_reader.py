"""Reading bytes that may lie: nothing is allocated that did not arrive, and a checksum covers what was read."""

from typing import BinaryIO

from codec.coding import crc32c
from codec.errors import BitstreamError

PIECE_BYTES = 1 << 20  # a lying length never allocates more than this beyond what is there
VARINT_BYTES = 5


class ByteReader:
    """A file or pipe, read front to back.

    Args:
        source: needs only `read`; to jump, it is a file whose first byte was the first of the source.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._section = ""
        self._crc = 0
        self.position = 0
        self.last_four = b""  # the checksum read last

    def begin(self, section: str) -> None:
        """From here on errors name this section, and its checksum starts."""
        self._section, self._crc = section, 0

    def rename(self, section: str) -> None:
        """The section's name is known by now."""
        self._section = section

    def jump(self, offset: int) -> None:
        """Go on elsewhere in a file."""
        self._source.seek(offset)
        self.position = offset

    def at_end(self) -> bool:
        """Whether nothing is left; takes a byte if there is one."""
        return not self._source.read(1)

    def take(self, count: int, *, short: str = "the file ends early") -> bytes:
        """Exactly `count` bytes."""
        pieces, missing = [], count
        while missing:
            piece = self._source.read(min(missing, PIECE_BYTES))
            if not piece:
                raise BitstreamError(f"{short} ({missing} of {count} bytes missing)", self._section)
            pieces.append(piece)
            missing -= len(piece)
        data = b"".join(pieces)
        self._crc = crc32c(data, self._crc)
        self.position += count
        return data

    def take_varint(self) -> int:
        """A LEB128 integer in its shortest form."""
        value = 0
        for place in range(VARINT_BYTES):
            octet = self.take(1)[0]
            value |= (octet & 0x7F) << 7 * place
            if octet < 0x80:
                if place and not octet:
                    raise BitstreamError("an integer is longer than it needs to be", self._section)
                return value
        raise BitstreamError(f"an integer has more than {VARINT_BYTES} bytes", self._section)

    def crc_fault(self, expected: int | None = None) -> BitstreamError | None:
        """Read a stored CRC-32C; an error if it is not that of what was read since `begin`, or `expected`."""
        expected = self._crc if expected is None else expected
        self.last_four = self.take(4)
        stored = int.from_bytes(self.last_four, "little")
        if stored == expected:
            return None
        return BitstreamError(f"its checksum is {stored:08x}, its bytes give {expected:08x}", self._section)


def pack_varint(value: int) -> bytes:
    """LEB128 in its shortest form; at most 5 bytes."""
    if not 0 <= value < 1 << 7 * VARINT_BYTES:
        raise ValueError(f"expected 0 <= value < 2^{7 * VARINT_BYTES}, got {value}")
    octets = bytearray()
    while value >= 0x80:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
