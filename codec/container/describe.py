"""What a file says of itself, for `codec info`; and cutting planes off it."""

from dataclasses import dataclass, replace
from typing import BinaryIO

from codec.container.head import Head
from codec.container.reader import Reader
from codec.container.sections import Section, SectionType, pack_planes, unpack_planes
from codec.container.writer import Writer, names_plane
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
        bytes: of the whole file.
        length: samples or frames in all, if END says so.
    """

    head: Head
    sections: tuple[SectionInfo, ...]
    bytes: int
    length: int | None


def describe(source: BinaryIO) -> FileDescription:
    """Read a whole file, checking every checksum."""
    reader = Reader(source)
    sections = tuple(
        SectionInfo(section.type.name.lower(), section.chunk, planes_of(reader.head, section), len(section.payload))
        for section in reader
    )
    return FileDescription(reader.head, sections, reader.bytes_read, reader.length)


def planes_of(head: Head, section: Section) -> tuple[int, ...]:
    """Planes in a section: one where planes lie apart, all of them otherwise."""
    if section.type != SectionType.CODES:
        return ()
    return (section.first_plane,) if names_plane(head) else tuple(range(len(head.alphabets)))


def truncate(source: BinaryIO, sink: BinaryIO, planes: int) -> None:
    """Copy a file with only its first `planes` planes: a valid, smaller file."""
    reader = Reader(source)
    count, droppable = len(reader.head.alphabets), reader.head.droppable_from
    if droppable is None or not droppable <= planes <= count:
        least = count if droppable is None else droppable
        raise UsageError(f"this file can keep {least} to {count} planes, not {planes}")
    kept = replace(reader.head, alphabets=reader.head.alphabets[:planes])
    writer = Writer(sink, kept)
    for section in reader:
        if section.type != SectionType.CODES:
            writer.write(section)
        elif not names_plane(reader.head):
            streams = unpack_planes(section.payload, count)[:planes]
            writer.write(replace(section, payload=pack_planes(streams)))
        elif section.first_plane < planes:
            writer.write(section)
    writer.finish(reader.length)
