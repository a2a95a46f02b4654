"""INDEX: where the CODES sections of a file begin, for readers that seek.

It stands last before END and ends with its own size, so that it is found from the end of the file.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from codec.coding import crc32c
from codec.container.byte_reader import ByteReader, pack_varint
from codec.container.sections import Section, SectionType
from codec.errors import BitstreamError

_SIZE_BYTES = 4
_END_BYTES = range(6, 12)  # END with a length of 0 to 5 bytes


@dataclass(frozen=True)
class IndexEntry:
    """One CODES section.

    Attributes:
        offset: bytes from the start of the file to the section's type.
        chunk: which chunk.
        first_plane: of the section.
    """

    offset: int
    chunk: int
    first_plane: int


def index_section(entries: Sequence[IndexEntry]) -> Section:
    """The INDEX of sections in file order."""
    offsets = [0, *(entry.offset for entry in entries)]
    numbers = [len(entries)]
    for entry, before in zip(entries, offsets[:-1], strict=True):
        numbers += [entry.offset - before, entry.chunk, entry.first_plane]
    body = b"".join(map(pack_varint, numbers))
    size = len(body) + _SIZE_BYTES
    front = bytes([SectionType.INDEX]) + pack_varint(size) + pack_varint(0)
    whole = len(front) + size + 4  # with the checksum
    return Section(SectionType.INDEX, payload=body + whole.to_bytes(_SIZE_BYTES, "little"))


def parse_index(payload: bytes) -> tuple[IndexEntry, ...]:
    """The entries of an INDEX, in file order."""
    source = ByteReader(io.BytesIO(payload))
    source.begin("index")
    entries, offset = [], 0
    for _ in range(source.take_varint()):
        offset += source.take_varint()
        entries.append(IndexEntry(offset, source.take_varint(), source.take_varint()))
    source.take(_SIZE_BYTES)
    if source.position != len(payload):
        raise BitstreamError(f"{len(payload) - source.position} bytes are left after its entries", "index")
    return tuple(entries)


def find_index(source: BinaryIO) -> tuple[IndexEntry, ...] | None:
    """The INDEX of a file that can seek, read from its end without the sections before it; `None` if there is none."""
    total = source.seek(0, os.SEEK_END)
    for end_bytes in _END_BYTES:
        end = total - end_bytes
        tail = _read_at(source, end - 8, 10)
        if len(tail) == 10 and tail[8:] == bytes([SectionType.END, end_bytes - 6]):
            size = int.from_bytes(tail[:4], "little")
            payload = _payload(_read_at(source, end - size, size))
            if payload is not None:
                return parse_index(payload)
    return None


def _payload(data: bytes) -> bytes | None:
    """What an INDEX section holds, or `None` if `data` is not one."""
    if len(data) < 4 or data[0] != SectionType.INDEX or crc32c(data[:-4]).to_bytes(4, "little") != data[-4:]:
        return None
    source = ByteReader(io.BytesIO(data[1:-4]))
    source.begin("index")
    size, _ = source.take_varint(), source.take_varint()
    return source.take(size)


def _read_at(source: BinaryIO, offset: int, count: int) -> bytes:
    """`count` bytes from `offset` on; none where that lies before the file's start."""
    if offset < 0:
        return b""
    source.seek(offset)
    return source.read(count)
