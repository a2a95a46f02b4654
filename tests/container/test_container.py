"""The container: what is written comes back, and nothing damaged passes."""

import io
import itertools
import random
import struct
import subprocess
import sys
import tracemalloc

import pytest

from codec.coding import crc32c
from codec.container import (
    AudioFields,
    Head,
    ImageFields,
    Packet,
    Reader,
    Section,
    SectionType,
    VideoFields,
    Writer,
    describe,
    pack_planes,
    packet_section,
    parse_packet,
    parse_packet_frames,
    planes_of,
    truncate,
    unpack_planes,
)
from codec.container.byte_reader import ByteReader, pack_varint
from codec.container.head import Fields
from codec.errors import BitstreamError, UnsupportedVersionError, UsageError

HASH = bytes(range(8))


def write(head: Head, sections: list[Section], length: int | None = None) -> bytes:
    sink = io.BytesIO()
    writer = Writer(sink, head)
    for section in sections:
        writer.write(section)
    writer.finish(length)
    return sink.getvalue()


def small() -> bytes:
    """A picture in two chunks with alpha."""
    head = Head(ImageFields(300, 20), HASH, (8192,))
    codes = [Section(SectionType.CODES, chunk, payload=bytes([chunk]) * 9) for chunk in range(2)]
    return write(head, [*codes, Section(SectionType.ALPHA, payload=b"png")])


def random_head(draw: random.Random) -> Head:
    kinds: list[Fields] = [
        ImageFields(draw.randint(1, 1 << 16), draw.randint(1, 1 << 16), draw.choice([1, 3])),
        AudioFields(draw.choice([8000, 48000]), draw.randint(1, 8), draw.choice([0, 1 << 33])),
        VideoFields(draw.randint(1, 4096), 1080, draw.choice([0, 999]), 1, 30),
    ]
    fields = draw.choice(kinds)
    alphabets = tuple(draw.choice([0, 1, 2, 1024, 16384, 1 << 24]) for _ in range(draw.randint(1, 12)))
    droppable = draw.choice([None, draw.randint(1, len(alphabets))])
    return Head(fields, draw.randbytes(8), alphabets, droppable, draw.choice([None, 0, 77]), draw.random() < 0.5)


@pytest.mark.parametrize("seed", range(60))
def test_what_is_written_is_read(seed: int) -> None:
    draw = random.Random(seed)
    head = random_head(draw)
    sections = [
        Section(
            type_ := draw.choice([kind for kind in SectionType if kind != SectionType.END]),
            draw.choice([0, 5, 1 << 20]),
            draw.randrange(len(head.alphabets)) if type_ == SectionType.CODES and head.names_plane else 0,
            draw.randbytes(draw.choice([0, 1, 200, 70_000])),
        )
        for _ in range(draw.randint(0, 5))
    ]
    length = draw.choice([0, 1 << 34]) if head.fields.is_open else None
    reader = Reader(io.BytesIO(data := write(head, sections, length)))
    assert reader.head == head
    assert list(reader) == sections
    assert (reader.complete, reader.length, reader.bytes_read) == (True, length, len(data))


def test_every_flipped_bit_is_noticed() -> None:
    data = bytearray(small())
    for position in range(8 * len(data)):
        data[position // 8] ^= 1 << position % 8
        with pytest.raises(BitstreamError):
            describe(io.BytesIO(data))
        data[position // 8] ^= 1 << position % 8


def test_every_cut_is_noticed_and_partial_gives_the_whole_sections() -> None:
    data, ends = small(), []
    source = io.BytesIO(data)
    for _ in Reader(source):
        ends.append(source.tell())
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            describe(io.BytesIO(data[:length]))
        if length >= ends[0]:
            reader = Reader(io.BytesIO(data[:length]), partial=True)
            assert len(list(reader)) == sum(end <= length for end in ends)
            assert not reader.complete
            assert isinstance(reader.damage, BitstreamError)


def test_partial_passes_over_a_damaged_section() -> None:
    data = bytearray(small())
    data[data.index(bytes(9)) + 4] ^= 1
    reader = Reader(io.BytesIO(data), partial=True)
    assert [section.title for section in reader] == ["codes of chunk 1", "alpha"]
    assert (reader.complete, reader.damage.section if reader.damage else "") == (False, "codes of chunk 0")
    description = describe(io.BytesIO(data), partial=True)
    assert (description.complete, len(description.sections)) == (False, 2)
    assert describe(io.BytesIO(small())).complete


def test_sections_removed_doubled_or_swapped_are_noticed() -> None:
    data, source = small(), io.BytesIO(small())
    reader = Reader(source)
    borders = [reader.bytes_read, *(reader.bytes_read for _ in reader)]
    end = data[borders[3] :]
    pieces = [data[first:last] for first, last in itertools.pairwise(borders)][:3]
    head = data[: borders[0]]
    for order in ([0, 1], [0, 2], [0, 0, 1, 2], [1, 0, 2], [0, 1, 2, 2], []):
        with pytest.raises(BitstreamError, match="end"):
            describe(io.BytesIO(head + b"".join(pieces[i] for i in order) + end))


def test_bytes_after_the_end_are_noticed() -> None:
    with pytest.raises(BitstreamError, match="after END"):
        describe(io.BytesIO(small() + b"\0"))


def with_crc(body: bytes) -> bytes:
    return body + struct.pack("<I", crc32c(body))


@pytest.mark.parametrize(
    ("width", "height"), [(1 << 21, 1), ((1 << 20) + 1, 2), (1 << 20, 1 << 20), (0, 5), ((1 << 35) - 1, (1 << 35) - 1)]
)
def test_lying_sizes_are_refused_before_anything_is_allocated(width: int, height: int) -> None:
    body = b"LMC\x01\x01" + HASH + b"".join(map(pack_varint, (width, height, 1, 8191)))
    with pytest.raises(BitstreamError, match="head"):
        Reader(io.BytesIO(with_crc(body)))


def test_a_lying_section_length_allocates_nothing() -> None:
    head = Head(ImageFields(8, 8), HASH, (4,)).to_bytes()
    tracemalloc.start()
    for size in (1 << 29, (1 << 30) + 1):
        with pytest.raises(BitstreamError, match="codes of chunk 0"):
            list(Reader(io.BytesIO(head + bytes([SectionType.CODES]) + pack_varint(size) + b"\0abc")))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 3 << 20


def test_newer_version_and_foreign_files() -> None:
    data = bytearray(small())
    data[3] = 2
    with pytest.raises(UnsupportedVersionError, match=r"version 2.*up to 1"):
        Reader(io.BytesIO(data))
    for foreign in (b"", b"LM", b"\x89PNG\r\n\x1a\n" + bytes(99), bytes(50)):
        with pytest.raises(BitstreamError, match=r"not an \.lmc file"):
            Reader(io.BytesIO(foreign))


@pytest.mark.parametrize(("type_", "passes"), [(200, False), (201, True)])
def test_unknown_sections(type_: int, passes: bool) -> None:
    """Ancillary ones are skipped, critical ones refused; the chain of checksums runs over both."""
    head = Head(ImageFields(8, 8), HASH, (4,)).to_bytes()
    front = bytes([type_]) + pack_varint(3) + pack_varint(0) + b"abc"
    chain = crc32c(struct.pack("<I", crc32c(front)), int.from_bytes(head[-4:], "little"))
    end = bytes([SectionType.END, 0])
    data = head + with_crc(front) + end + struct.pack("<I", crc32c(end, chain))
    if passes:
        assert list(Reader(io.BytesIO(data))) == []
    else:
        with pytest.raises(BitstreamError, match="unknown critical section type 200"):
            list(Reader(io.BytesIO(data)))


def test_lengths_and_planes_agree_with_the_head() -> None:
    picture, sound = Head(ImageFields(8, 8), HASH, (4,)), Head(AudioFields(8000, 1), HASH, (4,))
    for head, length in ((picture, 64), (sound, None)):
        with pytest.raises(ValueError, match="where the head has 0"):
            write(head, [], length)
    for head in (picture, Head(ImageFields(8, 8), HASH, (4, 4), chunk_major=True)):
        with pytest.raises(ValueError, match=r"plane 0\.\.0, got 1"):
            write(head, [Section(SectionType.CODES, 0, 1)])
    for head, end in ((picture, b"\4\1\5"), (sound, b"\4\0")):
        front = head.to_bytes()
        checksum = crc32c(end, int.from_bytes(front[-4:], "little"))
        with pytest.raises(BitstreamError, match="end: it has a length"):
            list(Reader(io.BytesIO(front + end + struct.pack("<I", checksum))))


def test_a_plane_that_the_head_does_not_have() -> None:
    head = Head(ImageFields(8, 8), HASH, (4, 4)).to_bytes()
    with pytest.raises(BitstreamError, match="codes of chunk 3: it holds plane 2, the file has 2"):
        list(Reader(io.BytesIO(head + with_crc(bytes([SectionType.CODES, 1, 3, 2, 0])))))


def test_listing_a_file_does_not_import_torch() -> None:
    command = "import sys; import codec.container; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_integers_have_one_form_only() -> None:
    for data in (b"\x80\x00", b"\xff\xff\xff\xff\xff\x01"):
        reader = ByteReader(io.BytesIO(data))
        reader.begin("test")
        with pytest.raises(BitstreamError, match="test"):
            reader.take_varint()
    for value in (0, 127, 128, 16383, 16384, (1 << 35) - 1):
        assert ByteReader(io.BytesIO(pack_varint(value))).take_varint() == value


def test_fixed_cost() -> None:
    """40 bytes a file with one section, of which the coder takes two; 14 a further section; 8 a further plane."""
    one = write(Head(ImageFields(16383, 16383), HASH, (16384,)), [Section(SectionType.CODES, payload=bytes(16000))])
    assert len(one) - 16000 <= 38
    codes = [Section(SectionType.CODES, chunk, payload=bytes(16000)) for chunk in range(2)]
    two = write(Head(ImageFields(16383, 16383), HASH, (16384,)), codes)
    assert len(two) - len(one) - 16000 <= 13
    planes = write(
        Head(ImageFields(16383, 16383), HASH, (16384, 16384), chunk_major=True),
        [Section(SectionType.CODES, payload=pack_planes([bytes(8000), bytes(8000)]))],
    )
    assert len(planes) - len(one) <= 6


def test_planes_in_a_payload() -> None:
    streams = [b"abc", b"", b"x" * 300, b"rest"]
    assert unpack_planes(pack_planes(streams), 4) == streams
    with pytest.raises(BitstreamError, match="claim 200 bytes"):
        unpack_planes(pack_varint(200) + b"short", 2)


@pytest.mark.parametrize("chunk_major", [False, True])
def test_truncate_makes_a_valid_smaller_file(chunk_major: bool) -> None:
    head = Head(VideoFields(8, 8, 0, 1, 25), HASH, (8, 8, 8), droppable_from=1, chunk_major=chunk_major)
    if chunk_major:
        sections = [Section(SectionType.CODES, c, payload=pack_planes([b"a", b"bb", b"ccc"])) for c in range(3)]
    else:
        sections = [Section(SectionType.CODES, c, p, b"z" * (p + 1)) for p in range(3) for c in range(3)]
    data, sink = write(head, sections, length=777), io.BytesIO()
    truncate(io.BytesIO(data), sink, 2)
    cut = describe(io.BytesIO(sink.getvalue()))
    assert (cut.head.alphabets, cut.length) == ((8, 8), 777)
    assert cut.bytes < len(data)
    assert all(max(section.planes) < 2 for section in cut.sections)
    with pytest.raises(UsageError, match="1 to 3 planes"):
        truncate(io.BytesIO(data), io.BytesIO(), 4)
    picture = small()
    with pytest.raises(UsageError):
        truncate(io.BytesIO(picture), io.BytesIO(), 1)


def test_planes_of_a_section() -> None:
    head = Head(ImageFields(8, 8), HASH, (4, 4))
    assert planes_of(head, Section(SectionType.CODES, 0, 1)) == (1,)
    assert planes_of(head, Section(SectionType.ALPHA)) == ()


def test_random_damage_never_raises_anything_else() -> None:
    draw, data = random.Random(1), small()
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 6)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            describe(io.BytesIO(damaged[: draw.randint(0, len(damaged))]))
        except BitstreamError:
            continue


def test_a_packet_of_sound_is_not_cut_without_its_model() -> None:
    data = write(Head(AudioFields(16000, 1, 9), HASH, (8, 8), droppable_from=1, chunk_major=True), [])
    with pytest.raises(ValueError, match="one stream"):
        truncate(io.BytesIO(data), io.BytesIO(), 1)


@pytest.mark.parametrize(
    "packet", [Packet(1, b""), Packet(8, b"abc"), Packet(64, b"x" * 300), Packet(3, b"abc", 1), Packet(3, b"", 199)]
)
def test_packets_come_back(packet: Packet) -> None:
    section = Section(SectionType.CODES, 5, payload=packet.to_payload())
    assert parse_packet(section, 64, 200) == packet


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "ends early"),
        (b"\x00", "1 to 4 planes"),
        (b"\x05", "1 to 4 planes"),
        (b"\x81\x00", "1 to 15 frames"),
        (b"\x81\x10", "1 to 15 frames"),
    ],
)
def test_damaged_packets_are_told(payload: bytes, reason: str) -> None:
    with pytest.raises(BitstreamError, match=reason):
        parse_packet(Section(SectionType.CODES, 5, payload=payload), 4, 16)


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x10\x10", b"\x81\x80\x04"])
def test_damaged_packet_lengths_are_told(payload: bytes) -> None:
    assert parse_packet_frames(packet_section(16).payload) == 16
    with pytest.raises(BitstreamError):
        parse_packet_frames(payload)
