"""Sound files that hold less than they claim, which libsndfile would shorten and say nothing.

AIFF: Apple 1989, "Audio Interchange File Format"; CAF: Apple 2011; W64: Sonic Foundry; Ogg: RFC 3533; ID3: Nilsson 1999,
"ID3 tag version 2.3.0"; the count of frames and bytes in an MP3: Xing 1998 and the LAME project.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from codec.media.sources import damaged

SYNC, OGG_HEAD, OGG_CRC, OGG_LAST = 0xFFE0, 27, 22, 4
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
XING_BYTES, HAS_FRAMES, HAS_BYTES = 256, 1, 2
SOUND_CHUNKS = (b"data", b"SSND")
STREAMED = (0xFFFFFFFF, -1)  # lengths that a writer left open


@dataclass(frozen=True)
class Chunks:
    """How a family of files is cut into chunks.

    Attributes:
        first: where the first chunk begins.
        head: name and length, for `struct`.
        inclusive: the length counts name and length too.
        alignment: of the next chunk's beginning.
    """

    first: int
    head: str
    inclusive: bool = False
    alignment: int = 2


LAYOUTS = {
    b"RIFF": Chunks(12, "<4sI"),
    b"RIFX": Chunks(12, ">4sI"),
    b"FORM": Chunks(12, ">4sI"),
    b"caff": Chunks(8, ">4sq", alignment=1),
    b"riff": Chunks(40, "<16sQ", inclusive=True, alignment=8),
}


def check_sound(file: BinaryIO, name: str) -> None:
    """Raise if a file of one of the known families ends before it should."""
    file.seek(0)
    magic = file.read(4)
    end = file.seek(0, io.SEEK_END)
    if magic in LAYOUTS:
        _check_chunks(file, LAYOUTS[magic], end, name)
    elif magic == b".snd":
        file.seek(4)
        start, length = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
        if length not in STREAMED:
            _check_end(start + length, end, name)
    elif magic == b"OggS":
        _check_ogg(file, end, name)
    elif (count := mp3_count(file)) is not None and count.bytes is not None:
        _check_end(count.start + count.bytes, end, name)


@dataclass(frozen=True)
class Mp3Count:
    """What the first frame of an MP3 says of all.

    Attributes:
        start: where that frame begins.
        has_frames: whether it says how many frames there are.
        bytes: of all frames, if it says so.
    """

    start: int
    has_frames: bool
    bytes: int | None


def mp3_count(file: BinaryIO) -> Mp3Count | None:
    """The count of an MP3; None where there is none, and for other files."""
    start = _behind_id3(file)
    file.seek(start)
    frame = file.read(XING_BYTES)
    if len(frame) < 4 or struct.unpack_from(">H", frame)[0] & SYNC != SYNC:
        return None
    place = max(frame.find(b"Xing"), frame.find(b"Info"))
    if place < 0 or len(frame) < place + 16:
        return None
    (flags,) = struct.unpack_from(">I", frame, place + 4)
    has_frames = bool(flags & HAS_FRAMES)
    (size,) = struct.unpack_from(">I", frame, place + 8 + 4 * has_frames)
    return Mp3Count(start, has_frames, size if flags & HAS_BYTES else None)


def _behind_id3(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(10)
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    size = sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return 10 + size + 10 * bool(head[5] & 16)


def _check_end(claimed: int, end: int, name: str) -> None:
    if claimed > end:
        raise damaged(name, f"it claims {claimed:,} bytes and has {end:,}; copy it again")


def _check_chunks(file: BinaryIO, layout: Chunks, end: int, name: str) -> None:
    size = struct.calcsize(layout.head)
    place = layout.first
    while place + size <= end:
        file.seek(place)
        kind, length = struct.unpack(layout.head, file.read(size))
        after = place + length + size * (not layout.inclusive)
        if kind[:4] in SOUND_CHUNKS and length not in STREAMED:
            _check_end(after, end, name)
            return
        place = max(after, place + size)
        place += -place % layout.alignment


def _check_ogg(file: BinaryIO, end: int, name: str) -> None:
    """Every page must follow the one before, be whole and have its checksum; what stands behind the last does no harm."""
    place, is_last = 0, False
    while place < end:
        file.seek(place)
        head = file.read(OGG_HEAD)
        if head[:4] != b"OggS":
            if is_last:
                return
            raise damaged(name, f"no page of Ogg begins at byte {place:,}")
        lacing = file.read(head[-1] if len(head) == OGG_HEAD else 0)
        page = head + lacing + file.read(sum(lacing))
        if len(head) < OGG_HEAD or len(page) < OGG_HEAD + head[-1] + sum(lacing):
            raise damaged(name, f"its last page, at byte {place:,}, is cut; copy it again")
        if _ogg_checksum(page) != struct.unpack_from("<I", page, OGG_CRC)[0]:
            raise damaged(name, f"the checksum of the page at byte {place:,} is wrong")
        place, is_last = place + len(page), bool(head[5] & OGG_LAST)


def _ogg_checksum(page: bytes) -> int:
    """CRC-32 as zlib's, but of the bits the other way round, starting at 0 and not inverted; without the checksum itself."""
    blank = page[:OGG_CRC] + bytes(4) + page[OGG_CRC + 4 :]
    crc = zlib.crc32(blank.translate(REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)
