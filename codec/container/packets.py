"""Packets of sound: what a CODES section of a sound holds, and the section that says how long packets are."""

import io
from dataclasses import dataclass

from codec.container.byte_reader import ByteReader, pack_varint
from codec.container.head import MAX_PLANES
from codec.container.sections import Section, SectionType
from codec.errors import BitstreamError

_SHORT = 0x80
MAX_FRAMES = 1 << 16  # of a packet


@dataclass(frozen=True)
class Packet:
    """One packet of a sound.

    Attributes:
        planes: how many it holds, the first of those of the file.
        stream: coder stream of all of them, one after another.
        frames: in it, where they are fewer than in other packets: only the last one may have fewer.
    """

    planes: int
    stream: bytes
    frames: int | None = None

    def to_payload(self) -> bytes:
        """As it stands in a CODES section."""
        if self.frames is None:
            return bytes([self.planes]) + self.stream
        return bytes([self.planes | _SHORT]) + pack_varint(self.frames) + self.stream


def parse_packet(section: Section, planes: int, frames: int) -> Packet:
    """The packet of a CODES section of a file with so many planes and frames a packet."""
    source = ByteReader(io.BytesIO(section.payload))
    source.begin(section.title)
    first = source.take(1)[0]
    count, short = first & ~_SHORT, source.take_varint() if first & _SHORT else None
    if not 1 <= count <= min(planes, MAX_PLANES):
        raise BitstreamError(f"a packet has 1 to {planes} planes, this one {count}", section.title)
    if short is not None and not 1 <= short < frames:
        raise BitstreamError(f"a short packet has 1 to {frames - 1} frames, this one {short}", section.title)
    return Packet(count, section.payload[source.position :], short)


def packet_section(frames: int) -> Section:
    """The section that says how many frames a packet has."""
    return Section(SectionType.PACKET, payload=pack_varint(frames))


def parse_packet_frames(payload: bytes) -> int:
    """The reverse."""
    source = ByteReader(io.BytesIO(payload))
    source.begin("packet")
    frames = source.take_varint()
    if not 1 <= frames <= MAX_FRAMES or source.position != len(payload):
        raise BitstreamError(f"packets have 1 to {MAX_FRAMES} frames, it says {payload.hex()}", "packet")
    return frames
