"""Files and pipes of any kind of media through a model: a picture at once, sound and video in constant memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from codec.container import Head
from codec.container.byte_reader import ByteReader
from codec.container.head import read_head
from codec.errors import MediaError, UsageError
from codec.transfer.models import (
    DEFAULT_IMAGE_MODEL,
    DEFAULT_VIDEO_MODEL,
    Use,
    default_sound_model,
    load_model,
    model_for,
)

if TYPE_CHECKING:
    from codec.media import SoundFormat, SoundReader
    from codec.models import Codec
    from codec.models.base import Encoding
    from codec.models.sound import SoundCodec
    from codec.models.sound_reading import Excerpt
    from codec.models.video import VideoFiles
    from codec.types import MediaKind

DEFAULT_FORMATS = {"image": "png", "audio": "wav", "video": "mp4"}

Source = str | Path | bytes | BinaryIO
BLOCK, LIVE_BLOCK = 1 << 16, 1 << 8  # samples that are written at once, to a file and as they come


def encode_to(
    source: Source,
    sink: BinaryIO,
    *,
    model: "str | Path | Codec | None" = None,
    encoding: "Encoding | None" = None,
    raw: "SoundFormat | None" = None,
    device: str = "cpu",
) -> None:
    """Media to an open `.lmc` file or pipe; sound and y4m that come through a pipe are written as they come.

    Args:
        source: path of a file, its bytes, or a pipe, which is read to its end.
        sink: open for writing.
        model: name, folder, hash or a loaded model; if not given the default for the kind of media, for sound that of its rate.
            A model of sound takes the sound track of a video.
        encoding: what is asked of the encoder.
        raw: rate and channels of bare 16-bit samples that come through a pipe without a header.
        device: `cpu`, `cuda` or `auto`.
    """
    from codec.media import read_image
    from codec.models.base import PLAIN

    live = is_pipe(source)
    kind, source = _kind(source, raw)
    encoding = encoding if encoding is not None else PLAIN
    use: Use | None = "prior" if encoding.prior == "generator" else None
    if kind == "video" and model is not None and load_model(model, device, use=use).kind == "audio":
        kind = "audio"  # a model of sound is asked for, so the sound track is meant
    if kind == "image":
        codec = model_for(kind, model or DEFAULT_IMAGE_MODEL, device, use)
        picture = source if isinstance(source, str | Path | bytes) else source.read()
        sink.write(codec.compress(read_image(picture, bits=16), encoding))
        return
    if kind == "video":
        from codec.transfer.video import encode_video

        codec = model_for(kind, model or DEFAULT_VIDEO_MODEL, device, use)
        encode_video(cast("VideoFiles", codec), source, sink, encoding, device)
        return
    given = (
        model_for(kind, model, device, use) if model else None
    )  # before the sound is opened, as what it needs is another thing
    with _sound(source, raw) as sound:
        codec = given or model_for(kind, default_sound_model(sound.format.rate), device, use)
        cast("SoundCodec", codec).write(sound, sink, encoding, live=live)


def decode_to(
    source: Source,
    target: Path | BinaryIO,
    *,
    model: "str | Path | Codec | None" = None,
    partial: bool = False,
    conceal: bool = False,
    format: str | None = None,
    excerpt: "Excerpt | None" = None,
    device: str = "cpu",
) -> dict[str, int]:
    """A `.lmc` file or pipe to media; sound and video that come through a pipe are written as they come.

    Args:
        source: path of a `.lmc` file, its bytes, or a pipe.
        target: a file, which appears whole or not at all, or an open pipe.
        model: the model to use instead of finding the one that the file names.
        partial: give what is whole of a damaged file instead of refusing it; lost packets of a sound are concealed.
        conceal: the same, and a generative model of the codes makes what is lost.
        format: of the target; by default its suffix, PNG, WAV or MP4 where there is none.
        excerpt: the part of a sound or a video that is wanted.
        device: `cpu`, `cuda` or `auto`.

    Returns:
        Sizes of what was written, by name.
    """
    from codec.media import write_image
    from codec.models.sound_reading import WHOLE

    with _opened(source) as file:
        head, file = _peek(file)
        wanted = model if model is not None else head.coding_hash.hex()
        codec, partial = load_model(wanted, device, use="repair" if conceal else None), partial or conceal
        suffix = target.suffix.removeprefix(".") if isinstance(target, Path) else ""
        chosen = format or suffix or DEFAULT_FORMATS[codec.kind]
        name = str(source) if isinstance(source, str | Path) else "the file"
        part = excerpt if excerpt is not None else WHOLE
        if codec.kind == "audio":
            sound = cast("SoundCodec", codec).open(file, partial=partial, live=is_pipe(source), excerpt=part, name=name)
            return _write_sound(sound, target, chosen, LIVE_BLOCK if is_pipe(source) else BLOCK)
        if codec.kind == "video":
            from codec.transfer.video import open_video, write_video

            video = open_video(
                cast("VideoFiles", codec), file, chosen, name=name, partial=partial, excerpt=part, device=device
            )
            return write_video(video, target, chosen)
        if excerpt is not None:
            raise UsageError("only of sound and video an excerpt can be decoded")
        media = codec.decompress(file.read(), partial=partial)
    write_image(media, target, chosen)
    height, width = media.space
    return {"width": width, "height": height}


def is_pipe(source: Source) -> bool:
    """Whether it can only be read as it comes."""
    return not isinstance(source, str | Path | bytes)


def _kind(source: Source, raw: "SoundFormat | None") -> "tuple[MediaKind, Source]":
    """The kind of media, and the source as it was before its first bytes were looked at."""
    from codec.media.kinds import SNIFFED, kind_of
    from codec.media.replayed import Replayed

    if raw is not None:
        return "audio", source
    if isinstance(source, str | Path | bytes):
        return kind_of(source), source
    start = source.read(SNIFFED)
    return kind_of(start), cast(BinaryIO, Replayed(start, source))


@contextmanager
def _sound(source: Source, raw: "SoundFormat | None") -> "Iterator[SoundReader]":
    from codec.media import open_pipe, open_sound

    if raw is None:
        with open_sound(source) as sound:
            yield sound
        return
    with _opened(source) as file, open_pipe(file, raw) as sound:
        yield sound


def _peek(file: BinaryIO) -> tuple[Head, BinaryIO]:
    """The head of a file, and the file from its first byte on."""
    from codec.media.replayed import Recorded, Replayed

    recorded = Recorded(file)
    head = read_head(ByteReader(cast(BinaryIO, recorded)))
    if file.seekable():
        file.seek(0)
        return head, file
    return head, cast(BinaryIO, Replayed(recorded.taken, file))


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    """A source as a binary stream."""
    from codec.media.sources import open_stream

    try:
        stream = open_stream(source)
    except OSError as error:
        raise MediaError(f"cannot read {source!r}: {error.strerror}") from error
    with stream as file:
        yield file


def _write_sound(sound: "SoundReader", target: Path | BinaryIO, suffix: str, size: int) -> dict[str, int]:
    """Write as it is read, in blocks of a size."""
    from codec.media.files import whole_file
    from codec.media.sound_writing import sound_writer

    def write(file: BinaryIO, name: str | None) -> int:
        with sound_writer(file, sound.format, suffix, frames=sound.frames, name=name) as writer:
            for block in sound.blocks(size):
                writer.write(block)
                file.flush()
            return writer.frames

    if not isinstance(target, Path):
        samples = write(target, None)
    else:
        with whole_file(target) as file:
            samples = write(file, str(target))
    return {"samples": samples, "channels": sound.format.channels, "rate_hz": sound.format.rate}
