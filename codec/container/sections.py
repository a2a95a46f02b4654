"""Sections: typed, checksummed pieces of a file; and the streams of several planes inside one."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from codec.container.byte_reader import ByteReader, pack_varint
from codec.errors import BitstreamError

ANCILLARY = 1  # bit of a type: a reader that does not know it may skip the section
MAX_PAYLOAD = 1 << 30


class SectionType(IntEnum):
    """Types of version 1; odd ones are ancillary."""

    CODES = 2
    END = 4
    SOUND = 6
    PACKET = 8
    TIMES = 10
    PACE = 12
    INDEX = 1
    ICC = 3
    EXIF = 5
    ALPHA = 7
    TAGS = 9
    DEPTH = 11


KNOWN = frozenset(SectionType)
_HAVE_CHUNKS = (SectionType.CODES, SectionType.SOUND, SectionType.TIMES)


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes:
        type: what it holds.
        chunk: which chunk of the media it belongs to, 0 where that means nothing.
        first_plane: which plane a CODES section holds in a plane-major file, 0 elsewhere.
        payload: its bytes.
    """

    type: SectionType
    chunk: int = 0
    first_plane: int = 0
    payload: bytes = b""

    @property
    def title(self) -> str:
        """How errors and listings name it."""
        return section_title(self.type, self.chunk)


def section_title(type_: int, chunk: int) -> str:
    """`codes of chunk 3`, `alpha`, …"""
    name = SectionType(type_).name.lower() if type_ in KNOWN else f"type {type_}"
    return f"{name} of chunk {chunk}" if type_ in _HAVE_CHUNKS else name


def pack_planes(streams: Sequence[bytes]) -> bytes:
    """Streams of several planes as one payload: the lengths of all but the last, then the streams."""
    return b"".join(pack_varint(len(stream)) for stream in streams[:-1]) + b"".join(streams)


def unpack_planes(payload: bytes, count: int, section: str = "codes") -> list[bytes]:
    """The `count` streams of a payload; `section` names it should it be damaged."""
    reader = ByteReader(io.BytesIO(payload))
    reader.begin(section)
    lengths = [reader.take_varint() for _ in range(count - 1)]
    rest = len(payload) - reader.position - sum(lengths)
    if rest < 0:
        raise BitstreamError(f"planes claim {sum(lengths)} bytes, {rest + sum(lengths)} are left for them", section)
    return [reader.take(length) for length in (*lengths, rest)]
