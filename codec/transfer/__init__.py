"""Files and pipes of any kind of media through a model: a picture at once, a sound in constant memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

from codec.container import Head
from codec.container.byte_reader import ByteReader
from codec.container.head import read_head
from codec.errors import MediaError, ModelNotFoundError, UsageError

if TYPE_CHECKING:
    from codec.media import SoundFormat, SoundReader
    from codec.models import Codec
    from codec.models.base import Encoding
    from codec.models.sound import SoundCodec
    from codec.models.sound_reading import Excerpt
    from codec.types import MediaKind

DEFAULT_IMAGE_MODEL, DEFAULT_SOUND_MODEL, DEFAULT_SPEECH_MODEL = "image-latent", "audio-24k", "audio-speech-16k"
SPEECH_HZ = 16_000  # sound of no higher rate is taken for speech
DEFAULT_FORMATS = {"image": "png", "audio": "wav"}

Source = str | Path | bytes | BinaryIO
Use = Literal["prior", "repair"]
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
    """Media to an open `.lmc` file or pipe; sound that comes through a pipe is written packet by packet as it comes.

    Args:
        source: path of a file, its bytes, or a pipe, which is read to its end.
        sink: open for writing.
        model: name, folder, hash or a loaded model; if not given the default for pictures, or that for sound of this rate.
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
    if kind == "image":
        codec = _model_for(kind, model or DEFAULT_IMAGE_MODEL, device, use)
        picture = source if isinstance(source, str | Path | bytes) else source.read()
        sink.write(codec.compress(read_image(picture, bits=16), encoding))
        return
    given = (
        _model_for(kind, model, device, use) if model else None
    )  # before the sound is opened, as what it needs is another thing
    with _sound(source, raw) as sound:
        codec = given or _model_for(kind, default_sound_model(sound.format.rate), device, use)
        cast("SoundCodec", codec).write(sound, sink, encoding, live=live)


def default_sound_model(rate_hz: int) -> str:
    """The model for sound of a rate where none is asked for: up to 16 kHz that of speech."""
    return DEFAULT_SPEECH_MODEL if rate_hz <= SPEECH_HZ else DEFAULT_SOUND_MODEL


def _model_for(kind: "MediaKind", model: "str | Path | Codec", device: str, use: "Use | None" = None) -> "Codec":
    """A model, which must be one for this kind of media."""
    from codec.media.kinds import NAMES

    codec = load_model(model, device, use=use)
    if codec.kind != kind:
        raise UsageError(f"this model is for {NAMES[codec.kind]}, the input is not; see `codec models`")
    return codec


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
    """A `.lmc` file or pipe to media; sound that comes through a pipe is written packet by packet as it comes.

    Args:
        source: path of a `.lmc` file, its bytes, or a pipe.
        target: a file, which appears whole or not at all, or an open pipe.
        model: the model to use instead of finding the one that the file names.
        partial: give what is whole of a damaged file instead of refusing it; lost packets of a sound are concealed.
        conceal: the same, and a generative model of the codes makes what is lost.
        format: of the target; by default its suffix, PNG or WAV where there is none.
        excerpt: the part of a sound that is wanted.
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
        if codec.kind == "audio":
            name = str(source) if isinstance(source, str | Path) else "the file"
            part = excerpt if excerpt is not None else WHOLE
            sound = cast("SoundCodec", codec).open(file, partial=partial, live=is_pipe(source), excerpt=part, name=name)
            return _write_sound(sound, target, chosen, LIVE_BLOCK if is_pipe(source) else BLOCK)
        if excerpt is not None:
            raise UsageError("only of a sound an excerpt can be decoded")
        media = codec.decompress(file.read(), partial=partial)
    write_image(media, target, chosen)
    height, width = media.space
    return {"width": width, "height": height}


def load_model(wanted: "str | Path | Codec", device: str, *, use: "Use | None" = None) -> "Codec":
    """A checkpoint by name, folder or hash, ready to use, loaded once a process; a model as it is.

    Args:
        wanted: the name, folder or hash, or the model.
        device: `cpu`, `cuda` or `auto`.
        use: of a generative model of its codes, which then comes with it.
    """
    from codec.models import find

    if not isinstance(wanted, str | Path):
        return wanted
    try:
        info = find(wanted)
    except ModelNotFoundError:
        from codec.generation.checkpoint import find_coder

        coder = find_coder(str(wanted))
        if coder is None:
            raise
        return _load_with_generator(find(coder.coding_hash).folder, coder.folder, pick_device(device))
    if use is None:
        return _load(info.folder, pick_device(device))
    from codec.generation.checkpoint import find_generator

    if "static" not in info.coding_hashes:
        raise UsageError(f"{info.name} has no tokens, so there is no generative model of them")
    found = find_generator(info.coding_hashes["static"], masked=True, coder=use == "prior")
    return _load_with_generator(info.folder, found.folder, pick_device(device))


def pick_device(device: str) -> str:
    """`auto` means CUDA where there is one, else the CPU; asking for what is not there is an error."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available; use --device cpu or auto")
    if device not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}: use auto, cpu or cuda")
    return device


@lru_cache(maxsize=4)
def _load(folder: Path, device: str) -> "Codec":
    from codec.models.checkpoint import load as load_checkpoint

    return load_checkpoint(folder).to(device)


@lru_cache(maxsize=2)
def _load_with_generator(folder: Path, generator: Path, device: str) -> "Codec":
    from codec.generation.checkpoint import attach_generator
    from codec.models.checkpoint import load as load_checkpoint

    return attach_generator(load_checkpoint(folder).to(device), generator)


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
