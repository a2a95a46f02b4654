"""INDEX: found from the end of a file, it leads to every CODES section, and it never outlives a change."""

import io

import pytest

from codec.container import (
    Head,
    Reader,
    Section,
    SectionType,
    VideoFields,
    Writer,
    describe,
    find_index,
    parse_index,
    truncate,
)
from codec.container.byte_reader import ByteReader
from codec.errors import BitstreamError


def indexed(samples: int, chunks: int, *, index: bool = True) -> bytes:
    sink = io.BytesIO()
    writer = Writer(sink, Head(VideoFields(8, 8, samples, 1, 25), bytes(8), (8, 8), droppable_from=1))
    for plane in range(2):
        for chunk in range(chunks):
            writer.write(Section(SectionType.CODES, chunk, plane, bytes([plane, chunk]) * (chunk + 1)))
    writer.write(Section(SectionType.TAGS, payload=b"title"))
    writer.finish(None if samples else 1 << 30, index=index)
    return sink.getvalue()


@pytest.mark.parametrize("samples", [0, 77], ids=["length in END", "length in the head"])
@pytest.mark.parametrize("chunks", [0, 1, 90])
def test_every_section_lies_where_the_index_says(samples: int, chunks: int) -> None:
    data = indexed(samples, chunks)
    entries = find_index(io.BytesIO(data))
    assert entries is not None
    assert [(entry.first_plane, entry.chunk) for entry in entries] == [(p, c) for p in range(2) for c in range(chunks)]
    for entry in entries:
        source = ByteReader(io.BytesIO(data[entry.offset :]))
        assert source.take(1)[0] == SectionType.CODES
        size = source.take_varint()
        assert (source.take_varint(), source.take_varint()) == (entry.chunk, entry.first_plane)
        assert source.take(size) == bytes([entry.first_plane, entry.chunk]) * (entry.chunk + 1)


def test_front_to_back_it_is_a_section_like_others() -> None:
    data = indexed(77, 3)
    *_, last = Reader(io.BytesIO(data))
    assert last.type == SectionType.INDEX
    assert parse_index(last.payload) == find_index(io.BytesIO(data))


def test_files_without_one() -> None:
    for data in (b"", b"LMC", bytes(99), indexed(77, 3, index=False), indexed(77, 3)[:-1], indexed(0, 3)[:-9]):
        assert find_index(io.BytesIO(data)) is None


def test_a_damaged_index_is_not_found() -> None:
    data = bytearray(indexed(77, 3))
    position = data.index(b"title") + 5 + 4 + 6  # past the checksum and the first integers
    data[position] ^= 1
    assert find_index(io.BytesIO(data)) is None


@pytest.mark.parametrize("payload", [b"", b"\2\1\1\1\0\0\0\0", b"\0\0\0\0\0\0", b"\xff\xff\xff\xff\x7f"])
def test_a_lying_index_is_refused(payload: bytes) -> None:
    with pytest.raises(BitstreamError, match="index"):
        parse_index(payload)


def test_truncate_drops_it() -> None:
    sink = io.BytesIO()
    truncate(io.BytesIO(indexed(77, 3)), sink, 1)
    names = [section.name for section in describe(io.BytesIO(sink.getvalue())).sections]
    assert names == ["codes", "codes", "codes", "tags"]


def test_an_index_may_name_each_so_manieth_section() -> None:
    sink = io.BytesIO()
    writer = Writer(sink, Head(VideoFields(8, 8, 70, 1, 25), bytes(8), (8,)), index_every=32)
    for chunk in range(70):
        writer.write(Section(SectionType.CODES, chunk, 0, b"code"))
    writer.finish(index=True)
    entries = find_index(io.BytesIO(sink.getvalue()))
    assert entries is not None
    assert [entry.chunk for entry in entries] == [0, 32, 64]
