"""Read a file front to back, trusting nothing: every checksum is compared, every length bounded."""

import io
from collections.abc import Iterator
from typing import BinaryIO

from codec.coding import crc32c
from codec.container.byte_reader import ByteReader
from codec.container.head import Head, read_head
from codec.container.sections import ANCILLARY, MAX_PAYLOAD, Section, SectionType, section_title
from codec.container.writer import names_plane
from codec.errors import BitstreamError

_KNOWN = frozenset(SectionType)


class Reader:
    """The head at once, then sections by iteration.

    Args:
        source: file or pipe; needs only `read`.
        partial: stop at the damage instead of raising, and leave `complete` False.

    Attributes:
        head: what the file says of itself.
        complete: END was reached and every checksum was right.
        damage: what was wrong, if `partial` let it pass.
        length: samples or frames in all, if END says so.
        bytes_read: so far.
    """

    def __init__(self, source: BinaryIO, *, partial: bool = False) -> None:
        self._source = ByteReader(source)
        self._partial = partial
        self.head: Head = read_head(self._source)
        self._chain = int.from_bytes(self._source.last_four, "little")
        self.complete = False
        self.damage: BitstreamError | None = None
        self.length: int | None = None

    @property
    def bytes_read(self) -> int:
        """Bytes taken from the source so far."""
        return self._source.position

    def __iter__(self) -> Iterator[Section]:
        try:
            while (section := self._next()) is not None:
                if section.type in _KNOWN:
                    yield section
        except BitstreamError as error:
            if not self._partial:
                raise
            self.damage = error

    def _next(self) -> Section | None:
        """The next section, or None at END."""
        source = self._source
        source.begin("section")
        type_ = source.take(1, short="END is missing")[0]
        size = source.take_varint()
        if type_ == SectionType.END:
            self._end(size)
            return None
        chunk = source.take_varint()
        source.rename(section_title(type_, chunk))
        if type_ not in _KNOWN and not type_ & ANCILLARY:
            raise BitstreamError(f"unknown critical section type {type_}; the file needs a newer reader", "section")
        if size > MAX_PAYLOAD:
            raise BitstreamError(f"it claims {size} bytes, the limit is {MAX_PAYLOAD}", section_title(type_, chunk))
        first_plane = source.take_varint() if type_ == SectionType.CODES and names_plane(self.head) else 0
        payload = source.take(size)
        source.check_crc()
        self._chain = crc32c(source.last_four, self._chain)
        return Section(SectionType(type_) if type_ in _KNOWN else type_, chunk, first_plane, payload)  # type: ignore[arg-type]

    def _end(self, size: int) -> None:
        source = self._source
        source.rename("end")
        if size > 5:
            raise BitstreamError(f"it claims {size} bytes, at most 5 are due", "end")
        payload = source.take(size)
        body = bytes([SectionType.END, size]) + payload
        source.check_crc(crc32c(body, self._chain))
        if size:
            counted = ByteReader(io.BytesIO(payload))
            counted.begin("end")
            self.length = counted.take_varint()
            if counted.position != size:
                raise BitstreamError("its length is not one integer", "end")
        if not source.at_end():
            raise BitstreamError("there are bytes after END", "end")
        self.complete = True
