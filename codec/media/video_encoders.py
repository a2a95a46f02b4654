"""The encoders of FFmpeg as writers of pictures and of sound into one file: H.264 with AAC, VP9 with Opus."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.reformatter import ColorRange

from codec.media.sound import Samples, SoundFormat
from codec.media.sound_encoders import LAYOUTS, PIECE, TAG_NAMES, encoder_errors
from codec.media.sound_writing import AAC_RATES, OPUS_RATES
from codec.media.video import MAX_TERM, VideoFormat, VideoFrame
from codec.media.video_pixels import MATRIX_TAGS, FromRGB, usual_matrix
from codec.media.video_timing import common_tick


@dataclass(frozen=True)
class Kind:
    """What a file is made of, in FFmpeg's names.

    Attributes:
        container: its format.
        pictures: their encoder.
        options: of that encoder. A decoded video should lose little more, so these are near its finest quality.
        sound: its encoder.
        channels: that this has.
        rates: samples a second that this has; other sound is converted to 48,000.
    """

    container: str
    pictures: str
    options: Mapping[str, str]
    sound: str
    channels: tuple[int, ...]
    rates: tuple[int, ...]


# Where chroma is coarse it lies amid its four pixels, which H.264 takes to be otherwise unless told.
H264 = {"crf": "10", "preset": "veryfast", "chroma_sample_location": "center"}
VP9 = {"crf": "10", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
AAC_CHANNELS, OPUS_CHANNELS = (1, 2, 3, 4, 5, 6), (1, 2, 3, 4, 6)  # of 5, FFmpeg's writer of Opus mixes up the order
KINDS = {
    ".mp4": Kind("mp4", "libx264", H264, "aac", AAC_CHANNELS, AAC_RATES),
    ".mov": Kind("mov", "libx264", H264, "aac", AAC_CHANNELS, AAC_RATES),
    ".mkv": Kind("matroska", "libx264", H264, "aac", AAC_CHANNELS, AAC_RATES),
    ".webm": Kind("webm", "libvpx-vp9", VP9, "libopus", OPUS_CHANNELS, OPUS_RATES),
}
USUAL_RATE, CHANNEL_BITS = 48_000, 128_000  # a second
SPEAKERS = LAYOUTS | {4: "quad"}  # as in WAVE files
THREADS = 2
FINEST = 1_000_000_000  # ticks a second that libvpx takes


class MovieWriter:
    """Writes pictures, and sound if a track of it is added before the first one.

    Args:
        file: open for writing.
        format: of the video.
        suffix: a key of `KINDS`.
        failure: how errors begin.
    """

    def __init__(self, file: BinaryIO, format: VideoFormat, suffix: str, failure: str) -> None:
        self._kind, self._format, self._failure = KINDS[suffix], format, failure
        self._convert, self._tick = FromRGB(format), _tick(format)
        self._shift = 0  # ticks that the pictures come later, as no time in the file is negative
        self._sound: SoundTrack | None = None
        with encoder_errors(failure):
            self._container = av.open(file, "w", format=self._kind.container)
            self._container.metadata.update({TAG_NAMES.get(tag, tag): text for tag, text in format.tags.items()})
            self._stream = self._picture_stream()

    def add_sound(self, format: SoundFormat, start: Fraction) -> "SoundTrack":
        """A track of sound whose first sample comes `start` seconds after the first picture."""
        self._shift = max(0, math.ceil(-start / self._format.time_base))
        begin = start + self._shift * self._format.time_base
        if self._kind.container in ("mp4", "mov"):  # they count what comes late in these units, by default milliseconds
            units = math.lcm(self._tick.denominator, format.rate)
            self._container.container_options["movie_timescale"] = str(units if units <= MAX_TERM else format.rate)
        with encoder_errors(self._failure):
            self._sound = SoundTrack(self._container, self._kind, format, begin, self._failure)
        return self._sound

    def write(self, frame: VideoFrame) -> None:
        """Append a picture."""
        with encoder_errors(self._failure):
            yuv = self._convert(frame.pixels)
            yuv.pts, yuv.time_base = int((frame.ticks + self._shift) * self._format.time_base / self._tick), self._tick
            self._container.mux(self._stream.encode(yuv))

    def close(self) -> None:
        """Make the file complete."""
        with encoder_errors(self._failure):
            self._container.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.close()
            self._container.close()

    def _picture_stream(self) -> Any:
        kind, format = self._kind, self._format
        stream: Any = self._container.add_stream(kind.pictures, rate=format.rate, options=dict(kind.options))
        stream.width, stream.height = format.width, format.height
        stream.time_base = stream.codec_context.time_base = self._tick
        stream.pix_fmt = f"yuv{format.chroma}p"
        stream.codec_context.colorspace = MATRIX_TAGS[usual_matrix(format.height)]
        stream.codec_context.color_range = ColorRange.MPEG
        stream.codec_context.thread_count = THREADS
        return stream


def _tick(format: VideoFormat) -> Fraction:
    """A time base in which a frame at the nominal rate lasts whole ticks too, where that can be: encoders want it."""
    fine = common_tick(format.time_base, 1 / format.rate).denominator
    return Fraction(1, fine if fine <= FINEST else format.time_base.denominator)


class SoundTrack:
    """Sound of a movie.

    Args:
        container: open for writing, its header not written.
        kind: of the movie.
        format: of the sound.
        begin: seconds from the file's beginning to the first sample.
        failure: how errors begin.
    """

    def __init__(self, container: Any, kind: Kind, format: SoundFormat, begin: Fraction, failure: str) -> None:
        self._container, self._format, self._failure = container, format, failure
        self._layout, self._next = SPEAKERS[format.channels], round(begin * format.rate)
        rate = format.rate if format.rate in kind.rates else USUAL_RATE
        self._stream = container.add_stream(kind.sound, rate=rate, layout=self._layout)
        self._stream.bit_rate = CHANNEL_BITS * format.channels

    def write(self, block: Samples) -> None:
        """Append `(n, C)` samples; the encoder itself converts their rate."""
        for start in range(0, len(block), PIECE):
            planes = np.ascontiguousarray(block[start : start + PIECE].T, np.float32)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=self._layout)
            frame.sample_rate, frame.time_base = self._format.rate, Fraction(1, self._format.rate)
            frame.pts, self._next = self._next, self._next + planes.shape[1]
            with encoder_errors(self._failure):
                self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Give what the encoder keeps back; the file is completed by its movie."""
        self._container.mux(self._stream.encode(None))
