"""What a video is, and moving pictures as they are read: 8-bit RGB with the time at which each is shown, one after the other.

Pixels are `(3, H, W)`, upright as they are shown. Time is counted in ticks of a fraction of a second, the first picture's being 0.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from codec.errors import MediaError
from codec.media.replayed import Replayed
from codec.media.sound import SoundReader
from codec.media.sources import Source, damaged, empty, name_of, open_stream, system_errors
from codec.media.wav import read_fully

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".y4m", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".flv", ".wmv", ".3gp",
     ".3g2", ".ogv"}
)  # fmt: skip
"""Lower-case suffixes of the files that a folder walk takes as video; some of these hold sound alone, see `kind_of`."""

MAX_SIDE, MAX_PIXELS = (1 << 16) - 1, 1 << 26
MAX_TERM = (1 << 31) - 1  # of a fraction, as FFmpeg and `.lmc` files have them
UNKNOWN_RATE = Fraction(25)
Y4M_MAGIC = b"YUV4MPEG2 "

Chroma = Literal["420", "444"]


@dataclass(frozen=True)
class VideoFormat:
    """All of a video but its pictures and its sound.

    Attributes:
        width: of the pictures as they are shown, in pixels.
        height: the same.
        time_base: seconds a tick.
        rate: nominal frames a second, for writers.
        chroma: `444` where the source has finer colour than 4:2:0, or an odd size; a writer keeps so much.
        tags: texts by names of `codec.media.sound.TAGS`.
    """

    width: int
    height: int
    time_base: Fraction
    rate: Fraction = UNKNOWN_RATE
    chroma: Chroma = "420"
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (
            1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE and self.width * self.height <= MAX_PIXELS
        ):
            raise ValueError(
                f"its pictures must have sides of 1 to {MAX_SIDE:,} and up to {MAX_PIXELS:,} pixels, got {self.width} x {self.height}"
            )
        for name, value in (("time base", self.time_base), ("rate", self.rate)):
            if value <= 0 or max(value.numerator, value.denominator) > MAX_TERM:
                raise ValueError(f"its {name} must be above 0 and a fraction of 31-bit numbers, got {value}")
        if self.chroma not in ("420", "444"):
            raise ValueError(f"its chroma must be 420 or 444, got {self.chroma!r}")
        if self.chroma == "420" and (self.width % 2 or self.height % 2):
            raise ValueError(f"chroma 420 needs even sides, got {self.width} x {self.height}; use 444")


@dataclass(frozen=True)
class VideoFrame:
    """One picture.

    Attributes:
        pixels: uint8 `(3, H, W)`, red, green and blue, C-contiguous.
        ticks: when it is shown, in time bases; 0 for the first one, and more for each that follows.
    """

    pixels: NDArray[np.uint8]
    ticks: int

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 3 or self.pixels.shape[0] != 3:
            raise ValueError(f"a picture is uint8 (3, H, W), got {self.pixels.dtype} {self.pixels.shape}")
        if not self.pixels.flags.c_contiguous:
            raise ValueError("a picture's pixels must be C-contiguous")
        if self.ticks < 0:
            raise ValueError(f"a picture is shown at tick 0 or later, got {self.ticks}")


@dataclass(frozen=True)
class VideoReader:
    """An open video, read once, from front to back.

    Attributes:
        format: of the video.
        frames: how many pictures the file announces; None if it does not. Some codecs skip a few, so count what comes.
        name: how errors name it.
        source: gives the pictures.
        sound: the best sound track, which is read independently of the pictures; None if there is none.
        sound_start: seconds from the first picture to the first sample; negative if the sound comes first.
    """

    format: VideoFormat
    frames: int | None
    name: str
    source: Iterator[VideoFrame] = field(repr=False)
    sound: SoundReader | None = None
    sound_start: Fraction = Fraction(0)

    def pictures(self) -> Iterator[VideoFrame]:
        """All pictures, one at a time.

        Raises:
            MediaError: for damage, pictures of another size on the way, fewer than the file claims to have, and none at all.
        """
        expected, done = (self.format.height, self.format.width), 0
        with system_errors(self.name):
            for frame in self.source:
                height, width = frame.pixels.shape[1:]
                if (height, width) != expected:
                    raise damaged(
                        self.name,
                        f"its pictures change from {expected[1]} x {expected[0]} to {width} x {height} on the way",
                    )
                done += 1
                yield frame
        if not done:
            raise no_pictures(self.name)


def chroma_for(width: int, height: int, chroma: Chroma) -> Chroma:
    """The chroma of a video of a size: 4:2:0 needs even sides."""
    return "444" if width % 2 or height % 2 else chroma


def no_pictures(name: str) -> MediaError:
    """A file of video without a picture."""
    return MediaError(f"cannot read {name}: it holds no pictures")


@contextmanager
def open_video(source: Source, *, name: str | None = None) -> Iterator[VideoReader]:
    """Open a video for reading from front to back, in constant memory.

    YUV4MPEG2 is read as it comes, from a pipe too; of other formats that come through a pipe a copy is made in a temporary
    file first.

    Args:
        source: a file's path, its bytes, or an open binary stream, read from its start.
        name: how errors name it; by default its path.

    Raises:
        MediaError: with one sentence that names the file and the reason; from `VideoReader.pictures` too.
    """
    named = name or name_of(source, "video")
    with ExitStack() as stack:
        with system_errors(named):
            file = stack.enter_context(open_stream(source))
            opened = _from_file(file, named) if file.seekable() else _from_pipe(file, named)
            reader = stack.enter_context(opened)
        yield reader


def _from_file(file: BinaryIO, name: str) -> AbstractContextManager[VideoReader]:
    """A reader of a file that seeks."""
    file.seek(0)
    start = file.read(len(Y4M_MAGIC))
    file.seek(0)
    if not start:
        raise empty(name)
    if start == Y4M_MAGIC:
        from codec.media.y4m import open_y4m

        return open_y4m(file, name)
    from codec.media.av_video import open_av_video

    return open_av_video(file, name)


@contextmanager
def _from_pipe(stream: BinaryIO, name: str) -> Iterator[VideoReader]:
    start = read_fully(stream.read, len(Y4M_MAGIC))
    if start == Y4M_MAGIC:
        from codec.media.y4m import open_y4m

        with open_y4m(cast(BinaryIO, Replayed(start, stream)), name) as reader:
            yield reader
        return
    with tempfile.TemporaryFile() as copy:
        copy.write(start)
        shutil.copyfileobj(stream, copy)
        with _from_file(copy, name) as reader:
            yield reader
