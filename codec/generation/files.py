"""Files as records of tokens, and records as files: media through a model, `.lmc` files without its networks.

A picture and a sound are a record each, of a video every scene.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import torch

from codec.container import AudioFields, Head, ImageFields
from codec.container.byte_reader import ByteReader
from codec.container.head import read_head
from codec.errors import BitstreamError, MediaError, UsageError
from codec.generation.records import TokenRecord, TokenSource
from codec.media import open_sound, open_video, read_image
from codec.media.video import VideoFormat, chroma_for
from codec.models import Codec, SoundCodec, TokenCodec, VideoTokenCodec
from codec.models.base import PriorName
from codec.models.sound_writing import SoundFrames
from codec.models.video_scenes import Scene
from codec.types import Codes, Media, Plane

Still: TypeAlias = TokenCodec | SoundCodec
Tokens: TypeAlias = Still | VideoTokenCodec
LMC = ".lmc"


def tokens_of(codec: Codec, name: str) -> Tokens:
    """A model whose codes are tokens.

    Raises:
        UsageError: its codes are integers of any size.
    """
    if not isinstance(codec, TokenCodec | SoundCodec | VideoTokenCodec):
        raise UsageError(f"{name} has no tokens but integers of any size; see `codec models` for tokenizers")
    return codec


def source_of(codec: Tokens, name: str, planes: int | None = None) -> TokenSource:
    """What its shards say of a model, of whose codes only the first `planes` may be kept."""
    counts = codec.plane_counts if isinstance(codec, SoundCodec) else (len(codec.quantizer.codebook_sizes),)
    if planes is not None and planes not in counts:
        raise UsageError(f"{name} decodes {', '.join(map(str, counts))} planes, not {planes}")
    alphabets = tuple(codec.quantizer.codebook_sizes[:planes])
    return TokenSource(name, codec.coding_hash("static").hex(), codec.kind, alphabets)


def records_of(codec: Tokens, path: Path, key: str, planes: int) -> Iterator[TokenRecord]:
    """The records of a file: as `record_of`; of a video its scenes, by number."""
    if not isinstance(codec, VideoTokenCodec):
        yield record_of(codec, path, key, planes)
        return
    with ExitStack() as stack:
        if path.suffix == LMC:
            format, scenes = codec.read_scenes(stack.enter_context(_opened(path)))
        else:
            video = stack.enter_context(open_video(path))
            format = video.format
            scenes = codec.scenes(torch.from_numpy(frame.pixels) for frame in video.pictures())
        for number, scene in enumerate(scenes):
            media = _facts(format) | {"frames": scene.frames}
            yield TokenRecord(f"{key}/{number:05}", scene.codes[:planes].numpy(), media, _label(path), _caption(path))


def record_of(codec: Still, path: Path, key: str, planes: int) -> TokenRecord:
    """The first planes of a picture, a sound, or of a `.lmc` file that this model wrote; class and caption from files beside it."""
    fields, codes = _read(codec, path) if path.suffix == LMC else _encoded(codec, path)
    if len(codes.planes) < planes:
        raise UsageError(
            f"{path} has only {len(codes.planes)} planes, wanted are {planes}; ask for as many with --planes"
        )
    stacked = torch.cat([plane.codes for plane in codes.planes[:planes]])
    return TokenRecord(key, stacked.numpy(), asdict(fields), _label(path), _caption(path))


def file_of(codec: Tokens, record: TokenRecord, prior: PriorName | None = None) -> bytes:
    """The bytes of a `.lmc` file with the codes of a record.

    Raises:
        BitstreamError: the record lacks what a file has to say of its media, or has codes that the model does not have.
    """
    prior = prior if prior is not None else list(codec.priors())[-1]
    sizes, file = codec.quantizer.codebook_sizes, io.BytesIO()
    try:
        sized = zip(record.codes, sizes[: len(record.codes)], strict=True)
        codes = Codes(tuple(Plane(torch.from_numpy(plane.astype("int64"))[None], size) for plane, size in sized))
        if isinstance(codec, VideoTokenCodec):
            frames = int(record.media["frames"])
            scene = Scene(torch.from_numpy(record.codes.astype("int64")), frames)
            if scene.codes.shape[1] != 1 + -(-(frames - 1) // codec.group):
                raise ValueError(f"{scene.codes.shape[1]} layers do not make {frames} frames")
            codec.write_scene(_format(record.media), scene, file, prior)
        elif isinstance(codec, SoundCodec):
            codec.write_codes(AudioFields(**record.media), codes, file, prior)
        else:
            fields = ImageFields(**record.media)
            samples = torch.zeros(1, dtype=torch.uint8).expand(fields.channels, fields.height, fields.width)
            codec.write(Media("image", samples), codes, file, prior)
    except (KeyError, TypeError, ValueError) as error:
        raise BitstreamError(f"this is no record of such a model ({error})", record.key) from error
    return file.getvalue()


def _facts(format: VideoFormat) -> dict[str, int]:
    """What a record says of a video."""
    base, rate = format.time_base, format.rate
    return {
        "width": format.width,
        "height": format.height,
        "time_base_numerator": base.numerator,
        "time_base_denominator": base.denominator,
        "rate_numerator": rate.numerator,
        "rate_denominator": rate.denominator,
    }


def _format(facts: Mapping[str, int]) -> VideoFormat:
    """The way back."""
    base = Fraction(facts["time_base_numerator"], facts["time_base_denominator"])
    rate = Fraction(facts["rate_numerator"], facts["rate_denominator"])
    width, height = facts["width"], facts["height"]
    return VideoFormat(width, height, base, rate, chroma_for(width, height, "420"))


def _encoded(codec: Still, path: Path) -> tuple[ImageFields | AudioFields, Codes]:
    if isinstance(codec, TokenCodec):
        samples = read_image(path, bits=16).samples
        channels, height, width = samples.shape
        return ImageFields(width, height, channels), codec.encode(samples.expand(3, -1, -1)[None])
    with open_sound(path) as sound:
        frames = SoundFrames(codec, sound, codec.block)
        planes = torch.cat(list(frames), 1)[None].unbind(-1)
        sized = zip(planes, codec.quantizer.codebook_sizes, strict=True)
        codes = Codes(tuple(Plane(codes.contiguous(), size) for codes, size in sized))
        return AudioFields(sound.format.rate, sound.format.channels, frames.samples), codes


def _read(codec: Still, path: Path) -> tuple[ImageFields | AudioFields, Codes]:
    """The codes of a file, without a network but that of a learned prior."""
    with _opened(path) as file:
        return codec.read_fields(file)


def head_of(path: Path) -> Head:
    """The head of a `.lmc` file, which names its model."""
    with _opened(path) as file:
        return read_head(ByteReader(file))


def _opened(path: Path) -> BinaryIO:
    try:
        return cast(BinaryIO, path.open("rb"))
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error


def _label(path: Path) -> int | None:
    """The class in a file `.cls` beside it."""
    text = _beside(path, ".cls")
    if text is None:
        return None
    if not text.strip().isdecimal():
        raise MediaError(f"{path.with_suffix('.cls')} holds no class, a number from 0, but {text[:20]!r}")
    return int(text)


def _caption(path: Path) -> str | None:
    """The text in a file `.txt` beside it."""
    text = _beside(path, ".txt")
    return None if text is None else text.strip()


def _beside(path: Path, suffix: str) -> str | None:
    other = path.with_suffix(suffix)
    try:
        return other.read_text(encoding="utf-8") if other.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise MediaError(f"cannot read {other}: {error}") from error
