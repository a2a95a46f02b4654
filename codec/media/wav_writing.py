"""WAVE files front to back: with true lengths where they are known or the file can be gone back in, else with open ones.

EBU Tech 3306, "RF64", 2018: room is left for 64-bit lengths, which turn a file of more than 4 GB into RF64.
"""

import struct
from collections.abc import Mapping
from typing import BinaryIO

from codec.media.samples import SAMPLE_BYTES, to_bytes
from codec.media.sound import Samples, SoundFormat
from codec.media.wav import EXTENSIBLE, FLOATS, INFO_TAGS, INTEGERS, START_BYTES, SUBFORMAT_TAIL, UNKNOWN

SPEAKERS = {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}  # by channels


class WavWriter:
    """Writes blocks as they come.

    Args:
        file: open for writing; the head stands where it stands now.
        format: of the file.
        frames: how many samples a channel there will be, if that is known.
    """

    def __init__(self, file: BinaryIO, format: SoundFormat, frames: int | None) -> None:
        self._file, self._format, self._done = file, format, 0
        self._mends = frames is None and file.seekable()
        self._start = file.tell() if self._mends else 0
        file.write(pack_wav_head(format, frames, with_room=self._mends))

    def write(self, block: Samples) -> None:
        """Append `(n, C)` samples."""
        self._file.write(to_bytes(block, self._format.encoding))
        self._done += len(block)

    def close(self) -> None:
        """Make the file complete."""
        if self._done * self._format.channels * SAMPLE_BYTES[self._format.encoding] % 2:
            self._file.write(b"\0")
        if self._mends:
            end = self._file.tell()
            self._file.seek(self._start)
            self._file.write(pack_wav_head(self._format, self._done, with_room=True))
            self._file.seek(end)


def pack_wav_head(format: SoundFormat, frames: int | None, *, with_room: bool) -> bytes:
    """Everything before the first sample.

    Args:
        format: of the samples.
        frames: how many there are; None if unknown.
        with_room: leave the room of 64-bit lengths, so that a head with the true length is as long as one without.
    """
    width = SAMPLE_BYTES[format.encoding]
    chunks = _format_chunk(format, width) + _info_chunk(format.tags)
    if format.encoding == "FLOAT":  # all but integers must say their length in samples
        chunks += _chunk(b"fact", struct.pack("<I", UNKNOWN if frames is None else min(frames, UNKNOWN)))
    data = None if frames is None else frames * format.channels * width
    short = START_BYTES + len(chunks) + 8 + 36 * with_room
    riff = None if data is None else short - 8 + data + data % 2
    if riff is None or data is None:
        return _head(b"RIFF", UNKNOWN, _chunk(b"JUNK", bytes(28)) * with_room + chunks, UNKNOWN)
    if riff < UNKNOWN:
        return _head(b"RIFF", riff, _chunk(b"JUNK", bytes(28)) * with_room + chunks, data)
    long = struct.pack("<QQQI", riff + 36 * (not with_room), data, frames, 0)
    return _head(b"RF64", UNKNOWN, _chunk(b"ds64", long) + chunks, UNKNOWN)


def _head(kind: bytes, riff: int, chunks: bytes, data: int) -> bytes:
    return struct.pack("<4sI4s", kind, riff, b"WAVE") + chunks + struct.pack("<4sI", b"data", data)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content + bytes(len(content) % 2)


def _format_chunk(format: SoundFormat, width: int) -> bytes:
    number = FLOATS if format.encoding == "FLOAT" else INTEGERS
    extended = format.channels > 2
    block = format.channels * width
    fields = (EXTENSIBLE if extended else number, format.channels, format.rate, format.rate * block, block, 8 * width)
    content = struct.pack("<HHIIHH", *fields)
    if extended:
        content += struct.pack("<HHIH", 22, 8 * width, SPEAKERS.get(format.channels, 0), number) + SUBFORMAT_TAIL
    return _chunk(b"fmt ", content)


def _info_chunk(tags: Mapping[str, str]) -> bytes:
    entries = [_chunk(name, tags[tag].encode() + b"\0") for name, tag in INFO_TAGS.items() if tags.get(tag)]
    return _chunk(b"LIST", b"INFO" + b"".join(entries)) if entries else b""
