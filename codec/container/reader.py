"""Read a file front to back, trusting nothing: every checksum is compared, every length bounded."""

import io
from collections.abc import Iterator
from typing import BinaryIO

from codec.coding import crc32c
from codec.container.byte_reader import ByteReader
from codec.container.head import Head, read_head
from codec.container.sections import ANCILLARY, KNOWN, MAX_PAYLOAD, Section, SectionType, section_title
from codec.errors import BitstreamError


class Reader:
    """The head at once, then sections by iteration.

    Args:
        source: file or pipe; needs only `read`.
        partial: leave out what is damaged instead of raising. A section with a wrong checksum is passed over; where
            the next one begins can no longer be told, reading ends.

    Attributes:
        head: what the file says of itself.
        complete: END was reached and nothing was damaged.
        damage: what was wrong first, if `partial` let it pass.
        length: samples or frames in all, if END says so.
        bytes_read: so far.
    """

    def __init__(self, source: BinaryIO, *, partial: bool = False) -> None:
        self._source = ByteReader(source)
        self._partial = partial
        self.head: Head = read_head(self._source)
        self._chain: int | None = int.from_bytes(self._source.last_four, "little")
        self._seen = 0
        self.complete = False
        self.damage: BitstreamError | None = None
        self.length: int | None = None

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the source so far."""
        return self._source.position

    def jump(self, offset: int) -> None:
        """Go on at a section's first byte, as the INDEX names it, in a file that can seek; END's chain is not compared then."""
        self._source.jump(offset)
        self._chain = None

    def __iter__(self) -> Iterator[Section]:
        try:
            while (type_ := self._begin()) != SectionType.END:
                section = self._section(type_)
                if section is not None:
                    yield section
            self._end()
        except BitstreamError as error:
            self._report(error)

    def _report(self, error: BitstreamError) -> None:
        if not self._partial:
            raise error
        self.damage = self.damage or error

    def _begin(self) -> int:
        """Type of the next section."""
        self._seen += 1
        self._source.begin(f"section {self._seen}")
        return self._source.take(1, short="END is missing")[0]

    def _section(self, type_: int) -> Section | None:
        """One section; None if it is unknown or, with `partial`, damaged."""
        source = self._source
        size, chunk = source.take_varint(), source.take_varint()
        title = section_title(type_, chunk)
        source.rename(title)
        first_plane = source.take_varint() if type_ == SectionType.CODES and self.head.names_plane else 0
        if size > MAX_PAYLOAD:
            raise BitstreamError(f"it claims {size} bytes, the limit is {MAX_PAYLOAD}", title)
        payload = source.take(size)
        fault = source.crc_fault() or self._refusal(type_, first_plane, title)
        self._chain = None if self._chain is None else crc32c(source.last_four, self._chain)
        if fault is not None:
            self._report(fault)
        if fault is not None or type_ not in KNOWN:
            return None
        return Section(SectionType(type_), chunk, first_plane, payload)

    def _refusal(self, type_: int, first_plane: int, title: str) -> BitstreamError | None:
        """Why a section whose checksum is right still cannot be used."""
        if type_ not in KNOWN and not type_ & ANCILLARY:
            return BitstreamError(f"unknown critical section type {type_}; the file needs a newer reader", title)
        if first_plane >= len(self.head.alphabets):
            return BitstreamError(f"it holds plane {first_plane}, the file has {len(self.head.alphabets)}", title)
        return None

    def _end(self) -> None:
        source = self._source
        source.rename("end")
        size = source.take_varint()
        if size > 5:
            raise BitstreamError(f"it claims {size} bytes, at most 5 are due", "end")
        payload = source.take(size)
        chained = None if self._chain is None else crc32c(bytes([SectionType.END, size]) + payload, self._chain)
        fault = source.crc_fault(chained)
        if fault is not None and self._chain is not None:
            raise fault
        self.length = _read_length(payload) if payload else None
        if (self.length is not None) != self.head.fields.is_open:
            raise BitstreamError("it has a length where the head has one too, or neither has", "end")
        if not source.at_end():
            raise BitstreamError("there are bytes after END", "end")
        self.complete = self.damage is None


def _read_length(payload: bytes) -> int:
    source = ByteReader(io.BytesIO(payload))
    source.begin("end")
    length = source.take_varint()
    if source.position != len(payload):
        raise BitstreamError("its length is not one integer", "end")
    return length
