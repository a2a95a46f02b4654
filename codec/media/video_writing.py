"""Writing video picture by picture, with its sound: MP4, QuickTime, Matroska, WebM, YUV4MPEG2, and folders of PNG files."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Protocol

from codec.errors import MediaError, UsageError
from codec.media.files import whole_file
from codec.media.picture_folder import PngWriter, whole_folder
from codec.media.sound import Samples, SoundFormat
from codec.media.sound_writing import SoundWriter
from codec.media.sources import name_of
from codec.media.video import VideoFormat, VideoFrame
from codec.media.video_encoders import KINDS, MovieWriter
from codec.media.y4m import Y4mWriter

VIDEO_WRITABLE = (*KINDS, ".y4m", ".png")
"""Suffixes of what can be written; `.png` means a folder of pictures."""

NEED_SEEKING = (".mp4", ".mov")
AT_ONCE = Fraction(0)


class PictureEncoder(Protocol):
    """Turns pictures into a file."""

    def write(self, frame: VideoFrame) -> None:
        """Append a picture."""

    def close(self) -> None:
        """Make the file complete."""


class VideoWriter:
    """Takes a video from front to back; made by `video_writer`.

    Pictures and sound should come in turns, a second or so of each: what runs ahead waits in memory.

    Attributes:
        frames: pictures so far.
    """

    def __init__(self, encoder: PictureEncoder, format: VideoFormat, sound: SoundWriter | None) -> None:
        self._encoder, self.format, self._sound = encoder, format, sound
        self.frames, self._last = 0, -1

    def write(self, frame: VideoFrame) -> None:
        """Append a picture of the format's size, shown later than the one before."""
        expected = (3, self.format.height, self.format.width)
        if frame.pixels.shape != expected:
            raise ValueError(f"a picture has the shape {expected}, got {frame.pixels.shape}")
        if frame.ticks <= self._last:
            raise ValueError(
                f"a picture is shown after tick {self._last}, when the one before it is, got {frame.ticks}"
            )
        self._encoder.write(frame)
        self._last, self.frames = frame.ticks, self.frames + 1

    def write_sound(self, samples: Samples) -> None:
        """Append float32 `(n, C)` samples."""
        if self._sound is None:
            raise ValueError("this video is written without sound: give `video_writer` a format of it")
        self._sound.write(samples)


@contextmanager
def video_writer(
    target: Path | BinaryIO,
    format: VideoFormat,
    suffix: str,
    *,
    sound: SoundFormat | None = None,
    sound_start: Fraction = AT_ONCE,
    name: str | None = None,
) -> Iterator[VideoWriter]:
    """Write a video; it is complete when the block ends well.

    MP4 and QuickTime keep every time exactly, Matroska and WebM to the millisecond; YUV4MPEG2 and PNG have none, their pictures
    follow each other at the format's rate. MP4, QuickTime and Matroska get H.264 and AAC, WebM VP9 and Opus.

    Args:
        target: a file or folder, which appears whole or not at all, or an open binary stream.
        format: of the video.
        suffix: one of `VIDEO_WRITABLE`.
        sound: of its sound, if it has any.
        sound_start: seconds from the first picture to the first sample; may be negative.
        name: how errors name it.

    Raises:
        UsageError: the format is not known, cannot hold such a sound, or cannot be written to a pipe.
        MediaError: an encoder fails, a sample is not a number, or the target cannot be written.
    """
    key = "." + suffix.lower().removeprefix(".")
    failure = f"cannot write {name or name_of(target, 'video')}"
    _refuse(key, sound)
    with ExitStack() as stack:
        encoder, track = _encoder(key, stack, target, format, failure), None
        if sound is not None:
            assert isinstance(encoder, MovieWriter)  # else it was refused
            track = SoundWriter(encoder.add_sound(sound, sound_start), sound, failure)
        writer = VideoWriter(encoder, format, track)
        try:
            yield writer
        except BaseException:
            with suppress(Exception):  # what was raised says more
                encoder.close()
            raise
        if not writer.frames:
            raise ValueError("a video has at least one picture")
        encoder.close()


def _refuse(key: str, sound: SoundFormat | None) -> None:
    """Raise for what a format cannot hold."""
    if key not in VIDEO_WRITABLE:
        raise UsageError(
            f"cannot write video as {key.removeprefix('.')!r}; the formats are {', '.join(VIDEO_WRITABLE)}"
        )
    if sound is None:
        return
    if key not in KINDS:
        raise UsageError(f"{key} holds no sound; use .mkv, or write the sound to a file of its own")
    if sound.channels not in KINDS[key].channels:
        known = ", ".join(map(str, KINDS[key].channels))
        raise UsageError(
            f"{key} holds sound of {known} channels, this one has {sound.channels}; write it to a .wav of its own"
        )


def _encoder(key: str, stack: ExitStack, target: Path | BinaryIO, format: VideoFormat, failure: str) -> PictureEncoder:
    """What writes the pictures; the stack makes the target whole."""
    if key == ".png":
        if not isinstance(target, Path):
            raise UsageError(".png is a folder of pictures, which cannot go to a pipe; name the folder, or use .y4m")
        return PngWriter(stack.enter_context(whole_folder(target)))
    file = stack.enter_context(_file(target, failure))
    if key == ".y4m":
        return Y4mWriter(file, format)
    if key in NEED_SEEKING and not file.seekable():
        raise UsageError(f"{key} cannot be written to a pipe; name a file, or use .mkv")
    return MovieWriter(file, format, key, failure)


@contextmanager
def _file(target: Path | BinaryIO, failure: str) -> Iterator[BinaryIO]:
    """The target, open for writing; what the system says of it comes out as a `MediaError`."""
    if isinstance(target, Path):
        with whole_file(target) as file:
            yield file
        return
    try:
        yield target
    except OSError as error:
        raise MediaError(f"{failure}: {error.strerror or error}") from error
