"""Video files that hold less than they claim, which FFmpeg would shorten and say nothing.

MP4: ISO/IEC 14496-12; AVI: Microsoft 1992, "RIFF"; Matroska and WebM: RFC 8794, "EBML", and RFC 9559; WMV: Microsoft 2012,
"Advanced Systems Format".
"""

import io
import struct
from typing import BinaryIO

from codec.errors import MediaError
from codec.media.sources import damaged

ASF, ASF_PROPERTIES = bytes.fromhex("3026b2758e66cf11"), bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
BOXES = (
    b"ftyp",
    b"styp",
    b"moov",
    b"mdat",
    b"moof",
    b"sidx",
    b"mfra",
    b"free",
    b"skip",
    b"wide",
    b"uuid",
    b"meta",
    b"pnot",
    b"udta",
)
ASF_HEAD = 1 << 14  # bytes in which the properties stand
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def check_end(file: BinaryIO, name: str) -> None:
    """Raise if an MP4, AVI, Matroska, WebM or WMV file ends before its outermost elements do."""
    file.seek(0)
    start = file.read(8)
    claimed = None
    if start[:4] == b"RIFF":
        claimed = struct.unpack("<I", start[4:8].ljust(4, b"\0"))[0] + 8
    elif start[:4] == EBML:
        claimed = _segment_end(file)
    elif start == ASF:
        claimed = _asf_bytes(file.read(ASF_HEAD))
    elif start[4:] in BOXES:
        claimed = _boxes_end(file)
    end = file.seek(0, io.SEEK_END)
    if claimed is not None and claimed > end:
        raise damaged(name, f"its header says {claimed:,} bytes, it has {end:,}")


def fewer_pictures(name: str, *, claimed: int, found: int) -> MediaError:
    """A file whose index lists pictures that are not there."""
    return damaged(name, f"it claims {claimed:,} pictures and holds {found:,}")


def _boxes_end(file: BinaryIO) -> int:
    """Where the last box ends that is known and says so; programs leave other things behind it."""
    place = 0
    while True:
        file.seek(place)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if head[4:8] not in BOXES or size < 8:
            return place
        place += size


def _segment_end(file: BinaryIO) -> int | None:
    """Where the segment behind the EBML header ends; None if it does not say."""
    file.seek(len(EBML))
    header = _number(file)
    if header is None:
        return None
    file.seek(header, io.SEEK_CUR)
    if file.read(len(SEGMENT)) != SEGMENT:
        return None
    length = _number(file)
    return None if length is None else file.tell() + length


def _asf_bytes(head: bytes) -> int | None:
    """What the file properties say behind their length and the file's mark; None if there are none."""
    place = head.find(ASF_PROPERTIES) + len(ASF_PROPERTIES) + 8 + 16
    return struct.unpack_from("<Q", head, place)[0] if ASF_PROPERTIES in head and place + 8 <= len(head) else None


def _number(file: BinaryIO) -> int | None:
    """A length: as many bytes as the first one has leading zeros, and one; None if it was left open."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    rest = file.read(more)
    bits = 7 * (more + 1)
    value = int.from_bytes(first + rest.ljust(more, b"\0"), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value
