"""The suite in four functions: `load` a model, `encode` and `decode` media, `probe` a file.

Every failure is a `codec.CodecError`.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, cast

from codec.container import FileDescription, Reader, describe
from codec.errors import MediaError, UsageError
from codec.transfer import DEFAULT_FORMATS, DEFAULT_IMAGE_MODEL, encode_to, load_model

if TYPE_CHECKING:
    from codec.media.video import VideoFrame
    from codec.models import Codec
    from codec.models.base import Encoding
    from codec.types import Media

Source = str | Path | bytes


def load(name: str | Path = DEFAULT_IMAGE_MODEL, *, device: str = "cpu") -> "Codec":
    """A checkpoint by name, folder or hash, ready to use; loaded once a process."""
    return load_model(name, device)


def encode(
    source: Source,
    target: str | Path | None = None,
    *,
    model: "str | Path | Codec | None" = None,
    encoding: "Encoding | None" = None,
    force: bool = False,
    device: str = "cpu",
) -> bytes:
    """A picture, a sound or a video to `.lmc` bytes.

    Args:
        source: path of a file, or its bytes.
        target: where to write the file too; it appears whole or not at all.
        model: name, folder, hash or a loaded model; the default model of the kind of media if not given.
        encoding: quality or target, bit rate, region of interest, effort, prior; see `codec.Encoding`.
        force: replace an existing target.
        device: `cpu`, `cuda` or `auto`.
    """
    _refuse_existing(target, force)
    sink = io.BytesIO()
    encode_to(source, sink, model=model, encoding=encoding, device=device)
    _write(sink.getvalue(), target)
    return sink.getvalue()


def decode(
    source: Source,
    target: str | Path | None = None,
    *,
    model: "str | Path | Codec | None" = None,
    force: bool = False,
    partial: bool = False,
    format: str | None = None,
    device: str = "cpu",
) -> "Media":
    """`.lmc` bytes to a picture, a sound, or the pictures of a video.

    Args:
        source: path of a `.lmc` file, or its bytes.
        target: where to write it too, a video with its sound; its suffix chooses the format unless `format` does.
        model: the model to use instead of finding the one that the file names.
        force: replace an existing target.
        partial: give what is whole of a damaged file instead of refusing it; lost packets of a sound are concealed.
        format: `png`, `jpeg`, `webp`, …; `wav`, `flac`, `opus`, …
        device: `cpu`, `cuda` or `auto`.
    """
    from codec.media import write_image, write_sound

    _refuse_existing(target, force)
    data = read_bytes(source)
    codec = load_model(model if model is not None else Reader(io.BytesIO(data)).head.coding_hash.hex(), device)
    if target is not None and codec.kind == "video":
        return _decode_video(codec, data, Path(target), partial=partial, format=format, device=device)
    media = codec.decompress(data, partial=partial)
    if target is not None:
        write = write_sound if media.kind == "audio" else write_image
        write(media, Path(target), format)
    return media


def _decode_video(
    codec: "Codec", data: bytes, target: Path, *, partial: bool, format: str | None, device: str
) -> "Media":
    """Write it, with its sound, and give its pictures."""
    from codec.models.sound_reading import WHOLE
    from codec.models.video import VideoFiles, media_of
    from codec.transfer.video import open_video, write_video

    suffix, frames = format or target.suffix.removeprefix(".") or DEFAULT_FORMATS["video"], list["VideoFrame"]()
    files, file = cast(VideoFiles, codec), io.BytesIO(data)
    video = open_video(files, file, suffix, name="the file", partial=partial, excerpt=WHOLE, device=device)
    write_video(video, target, suffix, seen=frames.append)
    return media_of(frames, video.format)


def probe(source: Source) -> FileDescription:
    """What a `.lmc` file says of itself; needs no model and does not import torch."""
    return describe(io.BytesIO(read_bytes(source)))


def read_bytes(source: Source) -> bytes:
    """The bytes of a path, or the bytes themselves."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise MediaError(f"cannot read {source}: {error.strerror}") from error


def _refuse_existing(target: str | Path | None, force: bool) -> None:
    if target is not None and not force and Path(target).exists():
        raise UsageError(f"{target} exists; use --force (force=True) to replace it")


def _write(data: bytes, target: str | Path | None) -> None:
    if target is not None:
        from codec.media.files import whole_file

        with whole_file(Path(target)) as file:
            file.write(data)
