"""Write a file front to back: head, sections, END. The sink need not seek."""

from typing import BinaryIO

from codec.coding import crc32c
from codec.container.byte_reader import pack_varint
from codec.container.head import Head
from codec.container.index import IndexEntry, index_section
from codec.container.sections import MAX_PAYLOAD, Section, SectionType


class Writer:
    """Writes the head at once, each section as it comes, and END at `finish`.

    Args:
        sink: file or pipe.
        head: what the file is.
        index_every: an INDEX names each so-manieth CODES section, the first one too.

    Attributes:
        position: bytes written so far.
    """

    def __init__(self, sink: BinaryIO, head: Head, *, index_every: int = 1) -> None:
        self._sink = sink
        self._head = head
        self._index_every, self._indexed = index_every, 0
        self._entries: list[IndexEntry] = []
        data = head.to_bytes()
        self._chain = int.from_bytes(data[-4:], "little")
        self.position = len(data)
        sink.write(data)

    def write(self, section: Section, *, indexed: bool = True) -> None:
        """Append a section; one of CODES can be left out of the INDEX, where no reader can begin with it."""
        if section.type == SectionType.END:
            raise ValueError("END is written by finish()")
        if len(section.payload) > MAX_PAYLOAD:
            raise ValueError(f"a section holds at most {MAX_PAYLOAD} bytes, got {len(section.payload)}")
        front = bytes([section.type]) + pack_varint(len(section.payload)) + pack_varint(section.chunk)
        if section.type == SectionType.CODES:
            front += self._plane(section)
            if indexed and self._indexed % self._index_every == 0:
                self._entries.append(IndexEntry(self.position, section.chunk, section.first_plane))
            self._indexed += indexed
        checksum = crc32c(section.payload, crc32c(front)).to_bytes(4, "little")
        self._chain = crc32c(checksum, self._chain)
        self.position += len(front) + len(section.payload) + len(checksum)
        self._sink.write(front + section.payload + checksum)

    def finish(self, length: int | None = None, *, index: bool = False) -> None:
        """Append END, whose checksum chains those of head and sections.

        Args:
            length: samples or frames in all; needed where the head leaves them open, and only there.
            index: put an INDEX of the CODES sections before END, for readers that seek.
        """
        if (length is not None) != self._head.fields.is_open:
            raise ValueError(f"END says a length where the head has 0 and only there, got {length}")
        if index:
            self.write(index_section(self._entries))
        payload = b"" if length is None else pack_varint(length)
        body = bytes([SectionType.END, len(payload)]) + payload
        self._sink.write(body + crc32c(body, self._chain).to_bytes(4, "little"))

    def _plane(self, section: Section) -> bytes:
        """Which plane a CODES section holds, where the file's order leaves that open."""
        count = len(self._head.alphabets) if self._head.names_plane else 1
        if not 0 <= section.first_plane < count:
            raise ValueError(f"{section.title} must begin with plane 0..{count - 1}, got {section.first_plane}")
        return pack_varint(section.first_plane) if self._head.names_plane else b""
