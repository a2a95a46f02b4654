"""Sound whose samples stand as plain numbers one after the other: WAVE from a file or a pipe, and bare 16-bit samples.

One reader for both, so that a pipe gives what a file gives.
"""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from codec.media.samples import SAMPLE_BYTES, Stored, from_bytes
from codec.media.sound import Samples, SoundFormat, SoundReader, no_samples, shortened
from codec.media.wav import WavHead, read_fully, read_info

SLACK_BYTES = 1 << 10  # of what is no sound behind the end, as other programs' marks


def plain_reader(
    stream: BinaryIO, format: SoundFormat, *, name: str, stored: Stored = "PCM_16", frames: int | None = None
) -> SoundReader:
    """A reader of what stands in a stream from here on.

    Args:
        stream: stands before the first sample; need not seek.
        format: of the sound.
        name: how errors name it.
        stored: how samples are stored.
        frames: how many there are; None for all until the end.
    """
    frame_bytes = format.channels * SAMPLE_BYTES[stored]

    def pieces(size: int) -> Iterator[Samples]:
        left = frames
        while left is None or left > 0:
            wanted = size if left is None else min(size, left)
            piece = from_bytes(read_fully(stream.read, wanted * frame_bytes), stored, format.channels)
            if len(piece):
                yield piece
            if len(piece) < wanted:
                return
            left = left if left is None else left - len(piece)

    return SoundReader(format, frames, name, pieces)


def wav_reader(stream: BinaryIO, head: WavHead, name: str) -> SoundReader:
    """A reader of a WAVE file of plain numbers whose head has been read."""
    format, stored = head.format(), head.stored
    assert stored is not None
    frames = None if head.data_bytes is None else head.data_bytes // head.block_bytes
    if frames == 0:
        raise no_samples(name)
    return plain_reader(stream, format, name=name, stored=stored, frames=frames)


def check_wav(file: BinaryIO, head: WavHead, name: str) -> None:
    """Raise unless the file holds as many samples as its head says, neither fewer nor more, and take tags from behind them.

    Args:
        file: stands before the first sample, where it is left.
        head: of plain numbers; its tags are completed.
        name: how errors name the file.
    """
    end = file.seek(0, io.SEEK_END)
    if head.data_bytes is not None:
        block, present = head.block_bytes, end - head.start
        if head.data_bytes > present:
            raise shortened(name, claimed=head.data_bytes // block, found=present // block, rate=head.rate)
        behind = _read_behind(file, head, end)
        if behind > SLACK_BYTES:
            raise ValueError(
                f"damaged: its header says {head.data_bytes // block:,} samples, but {behind:,} more bytes follow; "
                "mend the header, or cut off what does not belong to it"
            )
    file.seek(head.start)


def _read_behind(file: BinaryIO, head: WavHead, end: int) -> int:
    """Walk the chunks behind the samples; returns how many bytes are no chunk."""
    assert head.data_bytes is not None
    place = head.start + head.data_bytes + head.data_bytes % 2
    while place + 8 <= end:
        file.seek(place)
        name, size = struct.unpack("<4sI", file.read(8))
        if not name.isascii() or b"\0" in name or place + 8 + size > end:
            break
        if name == b"LIST" and size <= 1 << 20:
            head.tags |= read_info(file.read(size))
        place += 8 + size + size % 2
    return max(0, end - place)
