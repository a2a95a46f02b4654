"""What a file says of itself, for `codec info`; and cutting planes off it."""

from dataclasses import dataclass, replace
from typing import BinaryIO

from codec.container.head import AudioFields, Head
from codec.container.reader import Reader
from codec.container.sections import Section, SectionType, pack_planes, unpack_planes
from codec.container.writer import Writer
from codec.errors import UsageError


@dataclass(frozen=True)
class SectionInfo:
    """One section of a listing.

    Attributes:
        name: of its type, in lower case.
        chunk: which chunk.
        planes: which planes a CODES section holds.
        bytes: of its payload.
    """

    name: str
    chunk: int
    planes: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class FileDescription:
    """A file's head and the list of its sections.

    Attributes:
        bytes: of the whole file, or up to where a damaged one could be read.
        length: samples or frames in all, if END says so.
        damage: what is wrong with the file; empty if it is whole.
    """

    head: Head
    sections: tuple[SectionInfo, ...]
    bytes: int
    length: int | None
    damage: str = ""

    @property
    def complete(self) -> bool:
        """Whether the file is whole."""
        return not self.damage


def describe(source: BinaryIO, *, partial: bool = False) -> FileDescription:
    """Read a whole file, checking every checksum; with `partial`, list what is whole of a damaged one."""
    reader = Reader(source, partial=partial)
    sections = tuple(
        SectionInfo(section.type.name.lower(), section.chunk, planes_of(reader.head, section), len(section.payload))
        for section in reader
    )
    damage = "" if reader.damage is None else str(reader.damage)
    return FileDescription(reader.head, sections, reader.bytes_read, reader.length, damage)


def planes_of(head: Head, section: Section) -> tuple[int, ...]:
    """Planes in a section: one where planes lie apart, all of them otherwise."""
    if section.type != SectionType.CODES:
        return ()
    return (section.first_plane,) if head.names_plane else tuple(range(len(head.alphabets)))


def truncate(source: BinaryIO, sink: BinaryIO, planes: int) -> None:
    """Copy a picture's file with only its first `planes` planes: a valid, smaller file, without an index."""
    reader = Reader(source)
    if isinstance(reader.head.fields, AudioFields):
        raise ValueError("the planes of a packet of sound are one stream, which only its model can cut")
    count, droppable = len(reader.head.alphabets), reader.head.droppable_from
    if droppable is None or not droppable <= planes <= count:
        least = count if droppable is None else droppable
        raise UsageError(f"this file can keep {least} to {count} planes, not {planes}")
    writer = Writer(sink, replace(reader.head, alphabets=reader.head.alphabets[:planes]))
    for section in reader:
        kept = _cut(reader.head, section, planes)
        if kept is not None:
            writer.write(kept)
    writer.finish(reader.length)


def _cut(head: Head, section: Section, planes: int) -> Section | None:
    """What is left of a section when only the first `planes` planes stay."""
    if section.type == SectionType.INDEX:
        return None  # its offsets no longer hold
    if section.type != SectionType.CODES:
        return section
    if head.names_plane:
        return section if section.first_plane < planes else None
    streams = unpack_planes(section.payload, len(head.alphabets), section.title)
    return replace(section, payload=pack_planes(streams[:planes]))
