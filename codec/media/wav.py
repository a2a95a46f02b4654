"""Heads of WAVE files, read front to back as they come from a pipe.

IBM and Microsoft 1991, "Multimedia Programming Interface and Data Specifications 1.0"; Microsoft, WAVEFORMATEXTENSIBLE, 2001;
EBU Tech 3306, "RF64", 2018: where 4 GB are not enough, a chunk `ds64` at the front has 64-bit lengths.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from codec.media.samples import SAMPLE_BYTES, Stored
from codec.media.sound import SoundFormat

MAGICS, START_BYTES = (b"RIFF", b"RF64"), 12
UNKNOWN = 0xFFFFFFFF
# What programs write that do not know the length: themselves (0x7FFFF000: SoX; 0x7FFFFFFF and the next: arecord), less a header.
UNKNOWN_LENGTHS = tuple(range(unknown - 128, unknown + 1) for unknown in (UNKNOWN, 0x7FFFF000, 0x80000000))
MAX_CHUNK, PIECE = 1 << 20, 1 << 16
INTEGERS, FLOATS, EXTENSIBLE = 1, 3, 0xFFFE
STORED: dict[tuple[int, int], Stored] = {
    (INTEGERS, 1): "PCM_U8", (INTEGERS, 2): "PCM_16", (INTEGERS, 3): "PCM_24", (INTEGERS, 4): "PCM_32",
    (FLOATS, 4): "FLOAT", (FLOATS, 8): "DOUBLE",
}  # fmt: skip
SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # behind the two bytes of a format's number
INFO_TAGS = {
    b"INAM": "title", b"IART": "artist", b"IPRD": "album", b"ICRD": "date", b"IGNR": "genre", b"ITRK": "tracknumber",
    b"ICMT": "comment", b"ICOP": "copyright",
}  # fmt: skip


@dataclass
class WavHead:
    """What stands before the samples.

    Attributes:
        number: of the format; 1 is integers, 3 floats.
        rate: samples a second.
        channels: of each.
        bits: of a sample.
        block_bytes: of one sample of all channels.
        data_bytes: of all samples; None if the file's writer did not know.
        start: where they begin.
        tags: texts by names of `TAGS`.
    """

    number: int = 0
    rate: int = 0
    channels: int = 0
    bits: int = 0
    block_bytes: int = 0
    data_bytes: int | None = None
    start: int = START_BYTES
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def stored(self) -> Stored | None:
        """How samples are stored, if they are plain numbers."""
        return STORED.get((self.number, -(-self.bits // 8)))

    def format(self) -> SoundFormat:
        """Of plain numbers, checked."""
        stored = self.stored
        assert stored is not None
        if self.block_bytes != self.channels * SAMPLE_BYTES[stored]:
            raise ValueError(
                f"its header says {self.channels} channels of {self.bits} bits in {self.block_bytes} bytes, "
                "which does not fit together"
            )
        return SoundFormat(self.rate, self.channels, "FLOAT" if stored == "DOUBLE" else stored, self.tags)


def read_wav_head(stream: BinaryIO, start: bytes) -> WavHead:
    """Read up to the first sample; raises `ValueError` for what is no WAVE file.

    Args:
        stream: stands behind `start`.
        start: the first 12 bytes.
    """
    kind, length, form = struct.unpack("<4sI4s", start)
    if kind not in MAGICS or form != b"WAVE":
        raise ValueError("it is not a WAVE file")
    head = WavHead()
    long_data: int | None = None
    while True:
        name, size = struct.unpack("<4sI", _exactly(stream, 8))
        head.start += 8
        if name == b"data":
            break
        content = _take(stream, size + size % 2)
        head.start += size + size % 2
        if name == b"fmt ":
            _read_format(head, content)
        elif name == b"ds64" and len(content) >= 16:
            long_data = struct.unpack_from("<Q", content, 8)[0]
        elif name == b"LIST":
            head.tags |= read_info(content)
    if not head.number:
        raise ValueError("its header does not say how its samples are stored")
    if long_data is not None and size == UNKNOWN:
        head.data_bytes = long_data or None
    else:
        head.data_bytes = None if _is_unknown(size, length, head.start) else size
    return head


def read_info(content: bytes) -> dict[str, str]:
    """Tags in a LIST chunk of type INFO."""
    found, place = {}, 4
    while content[:4] == b"INFO" and place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        text = content[place + 8 : place + 8 + size].split(b"\0")[0]
        if text and name in INFO_TAGS:
            found[INFO_TAGS[name]] = _text(text)
        place += 8 + size + size % 2
    return found


def _read_format(head: WavHead, content: bytes) -> None:
    if len(content) < 16:
        raise ValueError("its header is too short")
    fields = struct.unpack_from("<HHIIHH", content)
    head.number, head.channels, head.rate, _, head.block_bytes, head.bits = fields
    if head.number == EXTENSIBLE and len(content) >= 40 and content[26:40] == SUBFORMAT_TAIL:
        head.number = struct.unpack_from("<H", content, 24)[0]


def _is_unknown(size: int, length: int, start: int) -> bool:
    """Whether a writer left the length of the data open; 0 it may also mean, if the file says that it goes on behind."""
    if size == 0:
        return length <= start or length >= UNKNOWN - 128
    return any(size in unknown for unknown in UNKNOWN_LENGTHS)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _take(stream: BinaryIO, size: int) -> bytes:
    """The content of a chunk, its first part only where it is long."""
    kept = _exactly(stream, min(size, MAX_CHUNK))
    for begin in range(len(kept), size, PIECE):
        _exactly(stream, min(PIECE, size - begin))
    return kept


def read_fully(read: Callable[[int], bytes], size: int) -> bytes:
    """`size` bytes, fewer only at the end: a pipe gives what it has."""
    data = read(size)
    while data and len(data) < size:
        more = read(size - len(data))
        if not more:
            break
        data += more
    return data


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = read_fully(stream.read, size)
    if len(data) < size:
        raise ValueError("damaged or truncated: it ends before its first sample")
    return data
