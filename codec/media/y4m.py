"""YUV4MPEG2: bare pictures in Y'CbCr behind one line of text each, read and written as they come.

The format of the MJPEG tools, yuv4mpeg(5), with FFmpeg's additions of more than 8 bits and of XCOLORRANGE.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np
from av.video.reformatter import ColorRange

from codec.media.sources import damaged
from codec.media.video import UNKNOWN_RATE, Y4M_MAGIC, VideoFormat, VideoFrame, VideoReader, chroma_for
from codec.media.video_pixels import FromRGB, ToRGB, chroma_of, fill_plane, plane_rows
from codec.media.wav import read_fully

LONGEST_LINE = 4096  # bytes
PICTURE = b"FRAME"
# What the file calls its pixels, and FFmpeg.
PIXELS = (
    {
        "420": "yuv420p",
        "420jpeg": "yuv420p",
        "420mpeg2": "yuv420p",
        "420paldv": "yuv420p",
        "422": "yuv422p",
        "444": "yuv444p",
    }
    | {"411": "yuv411p", "444alpha": "yuva444p", "mono": "gray"}
    | {f"{kind}p{bits}": f"yuv{kind}p{bits}le" for kind in ("420", "422", "444") for bits in (9, 10, 12, 14, 16)}
    | {f"mono{bits}": f"gray{bits}le" for bits in (9, 10, 12, 16)}
)
RANGES = {"XCOLORRANGE=FULL": ColorRange.JPEG, "XCOLORRANGE=LIMITED": ColorRange.MPEG}
WRITTEN = {"420": "C420jpeg XYSCSS=420JPEG", "444": "C444 XYSCSS=444"}


@dataclass(frozen=True)
class Head:
    """The first line of a file.

    Attributes:
        format: of the video.
        pixels: FFmpeg's name of how they are stored.
        range: of their values.
    """

    format: VideoFormat
    pixels: str
    range: ColorRange

    def planes(self) -> list[tuple[int, int]]:
        """Rows and bytes a row of each plane."""
        stored = av.VideoFormat(self.pixels, self.format.width, self.format.height)
        return [(part.height, part.width * -(-part.bits // 8)) for part in stored.components]


@contextmanager
def open_y4m(stream: BinaryIO, name: str) -> Iterator[VideoReader]:
    """A reader of a stream that stands at its first byte and need not seek."""
    head = _read_head(stream)
    yield VideoReader(head.format, _count(stream, head), name, _pictures(stream, head, name))


class Y4mWriter:
    """Writes pictures of constant rate, whatever their ticks, to a file or a pipe.

    Args:
        file: open for writing.
        format: of the video.
    """

    def __init__(self, file: BinaryIO, format: VideoFormat) -> None:
        self._file, self._convert = file, FromRGB(format)
        rate = f"{format.rate.numerator}:{format.rate.denominator}"
        words = f"W{format.width} H{format.height} F{rate} Ip A1:1 {WRITTEN[format.chroma]} XCOLORRANGE=LIMITED"
        file.write(Y4M_MAGIC + words.encode() + b"\n")

    def write(self, frame: VideoFrame) -> None:
        """Append a picture."""
        yuv = self._convert(frame.pixels)
        planes = [plane_rows(plane, plane.width).tobytes() for plane in yuv.planes]
        self._file.write(b"".join([PICTURE, b"\n", *planes]))

    def close(self) -> None:
        """Nothing is left to write."""


def _read_head(stream: BinaryIO) -> Head:
    """Of a stream that begins with the magic; a `ValueError` says what is wrong with it."""
    words = _read_line(stream).decode("ascii", "replace").split(" ")[1:]
    values = {word[:1]: word[1:] for word in words if not word.startswith("X")}
    kind = values.get("C", "420")
    if kind not in PIXELS:
        raise ValueError(f"its pixels are of the kind C{kind}, which is not supported; convert it to C420jpeg or C444")
    try:
        width, height = int(values["W"]), int(values["H"])
        frames, seconds = (int(term) for term in values.get("F", "0:0").split(":"))
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"its first line does not say size and rate as it should: {' '.join(words)[:100]!r}"
        ) from error
    rate = Fraction(frames, seconds) if frames and seconds else UNKNOWN_RATE
    chroma = chroma_for(width, height, chroma_of(av.VideoFormat(PIXELS[kind])))
    range = next((value for word, value in RANGES.items() if word in words), ColorRange.UNSPECIFIED)
    return Head(VideoFormat(width, height, 1 / rate, rate, chroma), PIXELS[kind], range)


def _read_line(stream: BinaryIO) -> bytes:
    """To the end of the line, which is not given."""
    line = bytearray()
    while (byte := stream.read(1)) != b"\n":
        line += byte
        if not byte or len(line) > LONGEST_LINE:
            raise ValueError("it ends, or goes astray, in a line of text")
    return bytes(line)


def _count(stream: BinaryIO, head: Head) -> int | None:
    """Pictures behind the head of a file, if no picture's line says more than it must; None of a pipe."""
    if not stream.seekable():
        return None
    here = stream.tell()
    size = stream.seek(0, io.SEEK_END) - here
    stream.seek(here)
    return size // (len(PICTURE) + 1 + sum(rows * row_bytes for rows, row_bytes in head.planes()))


def _pictures(stream: BinaryIO, head: Head, name: str) -> Iterator[VideoFrame]:
    convert, planes, ticks = ToRGB(), head.planes(), 0
    while start := read_fully(stream.read, len(PICTURE)):
        if start != PICTURE:
            raise damaged(name, f"picture {ticks + 1} does not begin as one")
        _read_line(stream)
        frame = av.VideoFrame(head.format.width, head.format.height, head.pixels)
        frame.color_range = head.range
        for plane, (rows, row_bytes) in zip(frame.planes, planes, strict=True):
            data = read_fully(stream.read, rows * row_bytes)
            if len(data) < rows * row_bytes:
                raise damaged(name, f"it ends within picture {ticks + 1}")
            fill_plane(plane, np.frombuffer(data, np.uint8).reshape(rows, row_bytes))
        yield VideoFrame(convert(frame), ticks)
        ticks += 1
