"""Bare streams of video, without a container, through PyAV: frames to packets and back."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from codec.errors import MediaError

os.environ.setdefault("SVT_LOG", "0")  # read once, by the first encoder of SVT-AV1, which else prints its settings

LARGEST_DENOMINATOR = 1001  # of 24000/1001 frames a second and its like
SETTINGS_IN_STREAM = "libx264"  # it writes them into the first frame, some 600 bytes of text that no decoder needs


@dataclass(frozen=True)
class VideoEncoder:
    """An encoder of FFmpeg with its settings.

    Attributes:
        name: FFmpeg's.
        options: of that encoder, in its own words.
        rate_hz: frames a second.
        gop: frames from one key frame to the next, at most; None leaves it to the encoder.
        threads: of the encoder; how far it keeps to them is its own affair.
    """

    name: str
    options: Mapping[str, str]
    rate_hz: float
    gop: int | None = None
    threads: int = 1

    def packets(self, frames: Iterable[av.VideoFrame]) -> Iterator[bytes]:
        """Packets in the order of decoding, headers within, from frames in yuv420p of one even size.

        Raises:
            MediaError: the encoder does not take such frames or options.
        """
        context = None
        units = (
            BitStreamFilterContext("filter_units=remove_types=6", "h264") if self.name == SETTINGS_IN_STREAM else None
        )
        with _errors(f"cannot encode with {self.name}"):
            for index, frame in enumerate(frames):
                if context is None:
                    context = self._open(frame)
                frame.pts, frame.time_base = index, context.time_base
                yield from _kept(context.encode(frame), units)
            if context is not None:
                yield from _kept(context.encode(None), units)

    def _open(self, frame: av.VideoFrame) -> Any:
        context: Any = av.CodecContext.create(self.name, "w")
        context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
        context.framerate = Fraction(self.rate_hz).limit_denominator(LARGEST_DENOMINATOR)
        context.time_base = 1 / context.framerate
        context.thread_count = self.threads
        if self.gop is not None:
            context.gop_size = self.gop
        context.options = dict(self.options)
        return context


def decoded_frames(packets: Iterable[bytes], decoder: str) -> Iterator[av.VideoFrame]:
    """Frames in the order of display, decoded by one thread.

    Raises:
        MediaError: the stream is damaged.
    """
    context: Any = av.CodecContext.create(decoder, "r")
    context.thread_count = 1
    with _errors(f"cannot decode with {decoder}"):
        for packet in packets:
            yield from context.decode(av.Packet(packet))
        yield from context.decode(None)


def _kept(packets: Iterable[av.Packet], units: BitStreamFilterContext | None) -> Iterator[bytes]:
    """Packets without the text that `SETTINGS_IN_STREAM` is about, which is of the type that `units` removes."""
    for packet in packets:
        yield from map(bytes, [packet] if units is None else units.filter(packet))


@contextmanager
def _errors(failure: str) -> Iterator[None]:
    try:
        yield
    except av.FFmpegError as error:
        raise MediaError(f"{failure}: {error.strerror}") from error
