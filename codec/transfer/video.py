"""Video with its sound through the models of both: pictures group by group, the sound as a coded sound of its own between."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from codec.container import AudioFields, describe
from codec.container.byte_reader import ByteReader
from codec.container.head import read_head
from codec.errors import UsageError
from codec.media.replayed import Recorded, Replayed
from codec.transfer.models import default_sound_model, load_model, model_for

if TYPE_CHECKING:
    from codec.media.sound import Samples, SoundReader
    from codec.media.video import VideoFrame, VideoReader
    from codec.models.base import Encoding
    from codec.models.sound import SoundCodec
    from codec.models.sound_reading import Excerpt
    from codec.models.video import VideoFiles
    from codec.models.video_writing import CodedSound

IN_MEMORY = 1 << 22  # bytes of coded sound; longer ones go to a temporary file
SILENT_FORMATS = ("y4m", "png")  # that hold no sound
BLOCK_SECONDS = Fraction(1, 4)  # of sound that is written at once


def encode_video(
    codec: "VideoFiles", source: "str | Path | bytes | BinaryIO", sink: BinaryIO, encoding: "Encoding", device: str
) -> None:
    """A video, pictures and sound, to an open `.lmc` file or pipe."""
    from codec.media.video import open_video

    codec.check(encoding)
    with open_video(source) as video, ExitStack() as stack:
        sound = None
        if video.sound is not None:
            file = cast(BinaryIO, stack.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY)))
            sound = _coded_sound(video.sound, file, encoding.bitrate, device)
            encoding = replace(encoding, bitrate=_left_for_pictures(encoding.bitrate, sound))
        codec.write(video, sink, encoding, sound)


def _coded_sound(sound: "SoundReader", file: BinaryIO, bitrate: float | None, device: str) -> "CodedSound":
    from codec.models.base import Encoding
    from codec.models.sound_writing import least_bitrate
    from codec.models.video_rate import share_of_sound
    from codec.models.video_writing import CodedSound

    codec = cast("SoundCodec", model_for("audio", default_sound_model(sound.format.rate), device))
    share = None if bitrate is None else max(share_of_sound(bitrate), least_bitrate(codec, sound.format.channels))
    codec.write(sound, file, Encoding(bitrate=share))
    size = file.tell()
    file.seek(0)
    description = describe(file)
    file.seek(0)
    fields = cast(AudioFields, description.head.fields)
    return CodedSound(file, size, (fields.samples or description.length or 0) / fields.rate_hz)


def _left_for_pictures(bitrate: float | None, sound: "CodedSound") -> float | None:
    if bitrate is None or not sound.seconds:
        return bitrate
    left = bitrate - 8 * sound.bytes / sound.seconds
    if left <= 0:
        raise UsageError(
            f"its sound alone takes {8 * sound.bytes / sound.seconds / 1000:.1f} kbit/s; raise the bitrate"
        )
    return left


def open_video(
    codec: "VideoFiles",
    source: BinaryIO,
    suffix: str,
    *,
    name: str,
    partial: bool,
    excerpt: "Excerpt",
    device: str,
) -> "VideoReader":
    """A `.lmc` video, with its sound, which is decoded while it is read.

    Args:
        codec: of the pictures.
        source: file or pipe.
        suffix: of the format that it will be written in; those of `SILENT_FORMATS` get the pictures alone.
        name: how errors name the source.
        partial: give what is whole of a damaged file.
        excerpt: what is wanted.
        device: `cpu`, `cuda` or `auto`.
    """

    def open_sound(file: BinaryIO, part: "Excerpt") -> "SoundReader":
        recorded = Recorded(file)
        head = read_head(ByteReader(cast(BinaryIO, recorded)))
        model = cast("SoundCodec", load_model(head.coding_hash.hex(), device))
        whole = cast(BinaryIO, Replayed(recorded.taken, file))
        if file.seekable():
            file.seek(0)
            whole = file
        live = not source.seekable()  # else packets are decoded several at once, read far ahead of their pictures
        return model.open(whole, partial=partial, live=live, excerpt=part, name=f"the sound of {name}")

    wanted = None if suffix.lower() in SILENT_FORMATS else open_sound
    return codec.open(source, partial=partial, excerpt=excerpt, open_sound=wanted, name=name)


def write_video(
    video: "VideoReader",
    target: Path | BinaryIO,
    suffix: str,
    *,
    seen: "Callable[[VideoFrame], object] | None" = None,
) -> dict[str, int]:
    """An open video to a video, or to a folder of pictures; sizes of what was written, by name.

    Args:
        video: from its first frame.
        target: a file or folder, which appears whole or not at all, or an open pipe.
        suffix: of the format.
        seen: is given each frame once it is written.
    """
    from codec.media.video_writing import video_writer

    format = None if video.sound is None else video.sound.format
    with video_writer(target, video.format, suffix, sound=format, sound_start=video.sound_start) as writer:
        blocks = _timed_blocks(video)
        waiting = next(blocks, None)
        for frame in video.pictures():
            writer.write(frame)
            if seen is not None:
                seen(frame)
            while waiting is not None and waiting[0] <= frame.ticks * video.format.time_base:
                writer.write_sound(waiting[1])
                waiting = next(blocks, None)
        while waiting is not None:
            writer.write_sound(waiting[1])
            waiting = next(blocks, None)
        return {"width": video.format.width, "height": video.format.height, "frames": writer.frames}


def _timed_blocks(video: "VideoReader") -> Iterator[tuple[Fraction, "Samples"]]:
    """Blocks of sound, each with the time at which it begins."""
    if video.sound is None:
        return
    rate, done = video.sound.format.rate, 0
    for block in video.sound.blocks(max(1, int(BLOCK_SECONDS * rate))):
        yield video.sound_start + Fraction(done, rate), block
        done += len(block)
