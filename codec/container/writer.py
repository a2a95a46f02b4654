"""Write a file front to back: head, sections, END. The sink need not seek."""

from typing import BinaryIO

from codec.coding import crc32c
from codec.container.byte_reader import pack_varint
from codec.container.head import Head
from codec.container.sections import MAX_PAYLOAD, Section, SectionType


class Writer:
    """Writes the head at once, each section as it comes, and END at `finish`.

    Args:
        sink: file or pipe.
        head: what the file is.
    """

    def __init__(self, sink: BinaryIO, head: Head) -> None:
        self._sink = sink
        self._names_plane = names_plane(head)
        data = head.to_bytes()
        self._chain = data[-4:]
        sink.write(data)

    def write(self, section: Section) -> None:
        """Append a section."""
        if section.type == SectionType.END:
            raise ValueError("END is written by finish()")
        if len(section.payload) > MAX_PAYLOAD:
            raise ValueError(f"a section holds at most {MAX_PAYLOAD} bytes, got {len(section.payload)}")
        front = bytes([section.type]) + pack_varint(len(section.payload)) + pack_varint(section.chunk)
        if section.type == SectionType.CODES and self._names_plane:
            front += pack_varint(section.first_plane)
        checksum = crc32c(section.payload, crc32c(front)).to_bytes(4, "little")
        self._chain = crc32c(checksum, int.from_bytes(self._chain, "little")).to_bytes(4, "little")
        self._sink.write(front + section.payload + checksum)

    def finish(self, length: int | None = None) -> None:
        """Append END, whose checksum chains those of all sections.

        Args:
            length: samples or frames in all, where the head said 0.
        """
        body = bytes([SectionType.END]) + (b"\0" if length is None else _with_length(pack_varint(length)))
        self._sink.write(body + crc32c(body, int.from_bytes(self._chain, "little")).to_bytes(4, "little"))


def names_plane(head: Head) -> bool:
    """Whether CODES sections say which plane they begin with: only where planes of a chunk lie apart."""
    return not head.chunk_major and len(head.alphabets) > 1


def _with_length(payload: bytes) -> bytes:
    return pack_varint(len(payload)) + payload
