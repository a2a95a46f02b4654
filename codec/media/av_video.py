"""Video that FFmpeg decodes, through PyAV: MP4, QuickTime, Matroska, WebM, AVI, MPEG and more."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from operator import attrgetter
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition

from codec.errors import MediaError
from codec.media.av_sound import OTHER_NAMES, open_av
from codec.media.shared_file import SharedFile
from codec.media.sound import TAGS
from codec.media.sources import Source, damaged, open_stream
from codec.media.video import MAX_PIXELS, VideoFormat, VideoFrame, VideoReader, chroma_for, no_pictures
from codec.media.video_damage import check_end, fewer_pictures
from codec.media.video_pixels import ToRGB, chroma_of
from codec.media.video_timing import Clock, nominal_rate

# Of the formats that FFmpeg would guess at, those that are one file of video: none that names other files or addresses.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpeg,mpegts,ogg"
BROADCAST = ("mpeg", "mpegts")  # recordings, which begin and end anywhere
STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
THREADS = 2


@contextmanager
def open_av_video(file: BinaryIO, name: str) -> Iterator[VideoReader]:
    """A reader of the best video track of an open file that seeks, with its best sound track."""
    check_end(file, name)
    shared = SharedFile(file)
    with ExitStack() as stack:
        container = stack.enter_context(_container(shared.reader(), name))
        stream = _moving(container)
        if stream is None:
            raise MediaError(f"cannot read {name}: it has no moving pictures")
        if stream.codec_context is None:
            raise MediaError(f"cannot read {name}: its pictures are of a kind that is not known; convert it to MP4")
        decoded = stack.enter_context(closing(_decoded(container, stream, name)))
        first = next(decoded, None)
        if first is None:
            raise no_pictures(name)
        reader = _reader(container, stream, name, first, decoded)
        start = _sound_start(shared.reader(), name)
        if start is not None:
            sound = stack.enter_context(open_av(shared.reader(), name))
            reader = replace(reader, sound=sound, sound_start=start - _seconds(first))
        yield reader


def only_sound(source: Source) -> bool:
    """Whether a file or its bytes are a container of sound without moving pictures; False if it cannot be read."""
    try:
        with open_stream(source) as file, _container(file, "the file") as container:
            return bool(container.streams.audio) and _moving(container) is None
    except (MediaError, OSError, ValueError):  # whoever reads it says why
        return False


@contextmanager
def _container(file: BinaryIO, name: str) -> Iterator[InputContainer]:
    options = {"format_whitelist": DEMUXERS, "max_pixels": str(MAX_PIXELS)}
    failure = f"cannot read {name}: it is damaged, or no video: use MP4, Matroska, WebM or another common format"
    try:
        container = av.open(file, "r", options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        raise MediaError(failure) from error
    with container:
        if not len(container.streams):
            raise MediaError(failure)
        yield container


def _moving(container: InputContainer) -> Any:
    """The best video track that is not a cover or the like; None if there is none."""
    moving = [stream for stream in container.streams.video if not stream.disposition & STILL]
    best = container.streams.best("video")
    return best if best in moving else next(iter(moving), None)


def _reader(container: InputContainer, stream: Any, name: str, first: Any, rest: Iterator[Any]) -> VideoReader:
    """A reader of pictures alone.

    Args:
        container: of the track.
        stream: the track.
        name: how errors name the file.
        first: its first frame.
        rest: those that follow.
    """
    rate = nominal_rate(stream)
    convert, clock = ToRGB(), Clock(stream.time_base, rate)
    # AVI counts in the order of decoding only, from which FFmpeg makes wrong times where pictures are shown in another
    stamp = attrgetter("dts" if container.format.name == "avi" else "pts")
    picture = VideoFrame(convert(first), clock.tick(stamp(first)))
    height, width = picture.pixels.shape[1:]
    chroma = chroma_for(width, height, chroma_of(first.format))
    format = VideoFormat(width, height, clock.time_base, rate, chroma, _tags(container, stream))
    pictures = (VideoFrame(convert(frame), clock.tick(stamp(frame))) for frame in rest)
    return VideoReader(format, stream.frames or None, name, chain([picture], pictures))


def _tags(container: InputContainer, stream: Any) -> dict[str, str]:
    given = {**stream.metadata, **container.metadata}
    found = {OTHER_NAMES.get(key.lower(), key.lower()): text for key, text in given.items()}
    return {tag: found[tag] for tag in TAGS if found.get(tag)}


def _sound_start(file: BinaryIO, name: str) -> Fraction | None:
    """When the best sound track begins, by the container's clock; None if there is no sound."""
    with _container(file, name) as container:
        track = container.streams.best("audio")
        if track is None:
            return None
        if track.codec_context is None:
            return Fraction(0)  # whoever opens it says what is wrong
        try:
            first = next(container.decode(track), None)
        except av.FFmpegError as error:
            raise damaged(name, f"its sound: {error.strerror}") from error
        return None if first is None else _seconds(first)


def _seconds(frame: Any) -> Fraction:
    return (frame.pts or 0) * frame.time_base


def _decoded(container: InputContainer, stream: Any, name: str) -> Generator[Any]:
    """All frames of a track.

    Raises:
        MediaError: for damage, and fewer pictures than the index of an MP4 lists. Recordings of broadcasts are read as far as
            they can be, for they begin and end anywhere.
    """
    strict = container.format.name not in BROADCAST
    claimed, found = len(stream.index_entries) if "mp4" in container.format.name else 0, 0
    context = stream.codec_context
    context.thread_type, context.thread_count, context.options = "AUTO", THREADS, {"max_pixels": str(MAX_PIXELS)}
    try:
        for packet in container.demux(stream):
            found += packet.dts is not None or packet.size > 0
            frames = packet.decode() if strict else _what_can_be(packet)
            if strict and (packet.is_corrupt or any(frame.is_corrupt for frame in frames)):
                raise damaged(name, f"near its picture {found}")
            yield from frames
    except av.FFmpegError as error:
        raise damaged(name, str(error.strerror)) from error
    if found < claimed:
        raise fewer_pictures(name, claimed=claimed, found=found)


def _what_can_be(packet: Any) -> list[Any]:
    """Frames of a packet, none if it is damaged."""
    try:
        return packet.decode()
    except av.InvalidDataError:
        return []
