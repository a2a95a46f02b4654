"""Pictures: PNG, JPEG, WebP, AVIF and a few more to 8-bit grey or RGB samples and back, through Pillow."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from codec.errors import MediaError, UsageError
from codec.media.files import whole_file
from codec.types import Media

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"}
)
"""Lower-case suffixes of the files that a folder walk takes as pictures."""

READABLE = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM")
WRITABLE = {
    "png": "PNG",
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "webp": "WEBP",
    "avif": "AVIF",
    "bmp": "BMP",
    "tif": "TIFF",
    "tiff": "TIFF",
    "ppm": "PPM",
}
WITH_ALPHA = ("PNG", "WEBP", "AVIF", "TIFF")
# A decoded picture should lose nothing more: lossless where the format can, else its finest usual setting.
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "TIFF": {"compression": "tiff_deflate"},
}

GREY_MODES, COLOUR_MODES = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA")
ORIENTATION_TAG = 0x0112
# What brings each EXIF orientation upright; `ImageOps.exif_transpose` would rewrite the whole block and fails on odd tags.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(source: str | Path | bytes | BinaryIO) -> Media:
    """Read one still picture, upright, as uint8 `(1 or 3, H, W)`.

    A grey, 1-bit or grey + alpha file gives one channel, all else (palettes too) three. Where a pixel is not opaque,
    `metadata["alpha"]` holds the `(1, H, W)` alpha plane as a PNG file; the colours under it are kept.

    Args:
        source: a file's path, its bytes, or an open binary stream, read from its start.

    Raises:
        MediaError: with one sentence that names the file and the reason.
    """
    name = _name(source)
    with _opened(source, name) as file, _decoder_errors(name), Image.open(file, formats=READABLE) as image:
        _refuse_unsupported(image, name)
        image.load()
        return _to_media(_upright(image))


def write_image(media: Media, target: Path | BinaryIO, format: str | None = None) -> None:
    """Write a picture, with its alpha plane where it has one.

    Args:
        media: kind `"image"`, uint8 `(1 or 3, H, W)`.
        target: a file, which appears whole or not at all, or an open binary stream.
        format: a key of `WRITABLE`; the target's suffix by default.

    Raises:
        UsageError: a format that is not known, or cannot hold the alpha plane.
        MediaError: the encoder refuses the picture, or the target cannot be written.
    """
    encoded = _encode(media, _format_for(target, format))
    if isinstance(target, Path):
        with whole_file(target) as file:
            file.write(encoded)
        return
    try:
        target.write(encoded)
    except OSError as error:
        raise MediaError(f"cannot write the picture: {error.strerror or error}") from error


def to_pillow(samples: Tensor) -> Image.Image:
    """uint8 `(1 or 3, H, W)` to a Pillow picture of mode L or RGB."""
    if samples.dtype != torch.uint8 or samples.ndim != 3 or samples.shape[0] not in (1, 3):
        raise ValueError(f"a picture is uint8 (1 or 3, H, W), got {samples.dtype} {tuple(samples.shape)}")
    pixels = samples.cpu().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(pixels[..., 0] if samples.shape[0] == 1 else pixels)


def _name(source: str | Path | bytes | BinaryIO) -> str:
    if isinstance(source, str | Path):
        return str(source)
    return "the picture" if isinstance(source, bytes) else str(getattr(source, "name", "the picture"))


@contextmanager
def _opened(source: str | Path | bytes | BinaryIO, name: str) -> Iterator[BinaryIO]:
    try:
        if isinstance(source, str | Path):
            with Path(source).open("rb") as file:
                yield _seekable(file, name)
        else:
            yield _seekable(io.BytesIO(source) if isinstance(source, bytes) else source, name)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path, a closed stream
        raise MediaError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error


def _seekable(file: BinaryIO, name: str) -> BinaryIO:
    """The stream at its start, a copy in memory where it is a pipe; never empty."""
    stream = file if file.seekable() else io.BytesIO(file.read())
    stream.seek(0)
    if not stream.read(1):
        raise MediaError(f"cannot read {name}: it is empty")
    stream.seek(0)
    return stream


@contextmanager
def _decoder_errors(name: str) -> Iterator[None]:
    """Any failure of Pillow as one sentence; its warnings are dropped, but for the one on decompression bombs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except MediaError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = f"{Image.MAX_IMAGE_PIXELS or 0:,}"
        raise MediaError(f"cannot read {name}: it claims more than the {limit} pixels that are allowed") from error
    except UnidentifiedImageError as error:
        raise MediaError(f"cannot read {name}: not a picture, or not one of {', '.join(READABLE)}") from error
    except (
        Exception
    ) as error:  # on damaged input Pillow lets nearly every type out: struct, zlib, Syntax, Index, EOF ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MediaError(f"cannot read {name}: damaged or truncated ({reason})") from error


def _refuse_unsupported(image: Image.Image, name: str) -> None:
    """Raise for all but one frame of 8 bits; called before loading, as that forgets how the pixels are stored."""
    if image.format != "MPO" and (frames := getattr(image, "n_frames", 1)) > 1:  # MPO: a photo and its previews
        raise MediaError(f"cannot read {name}: it has {frames} frames or pages, only single pictures are supported")
    if _is_deep(image):
        raise MediaError(f"cannot read {name}: 16-bit images are not supported yet (mode {image.mode})")
    if image.mode not in GREY_MODES + COLOUR_MODES:
        raise MediaError(
            f"cannot read {name}: images of mode {image.mode} are not supported yet; convert it to 8-bit grey or RGB"
        )


def _is_deep(image: Image.Image) -> bool:
    """More than 8 bits a sample in the file; Pillow would drop the lower ones and still say mode RGB."""
    if image.mode.startswith("I;16"):
        return True
    for tile in getattr(image, "tile", ()):
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if tile.codec_name == "ppm" and arguments[-1] > 255:
            return True
        if ";16" in str(arguments[0]):
            return True
    return False


def _upright(image: Image.Image) -> Image.Image:
    orientation = image.getexif().get(ORIENTATION_TAG)
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _to_media(image: Image.Image) -> Media:
    base = "L" if image.mode in GREY_MODES else "RGB"
    if not image.has_transparency_data:
        return Media("image", _to_samples(image.convert(base)))
    *colours, alpha = image.convert(base + "A").split()
    samples = torch.cat([_to_samples(band) for band in colours])
    if alpha.getextrema()[0] == 255:
        return Media("image", samples)
    return Media("image", samples, {"alpha": _save(alpha, "PNG")})


def _to_samples(image: Image.Image) -> Tensor:
    """Mode L or RGB to uint8 `(1 or 3, H, W)`, a copy."""
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def _format_for(target: Path | BinaryIO, format: str | None) -> str:
    wanted = format if format is not None else (target.suffix if isinstance(target, Path) else "")
    key = wanted.lower().removeprefix(".")
    if key not in WRITABLE:
        raise UsageError(f"cannot write pictures as {wanted!r}; the formats are {', '.join(WRITABLE)}")
    return WRITABLE[key]


def _encode(media: Media, format: str) -> bytes:
    if media.kind != "image":
        raise UsageError(f"cannot write {media.kind} as a {format} picture")
    image = to_pillow(media.samples)
    if "alpha" in media.metadata:
        if format not in WITH_ALPHA:
            raise UsageError(
                f"{format} cannot hold the alpha plane of this picture; use one of {', '.join(WITH_ALPHA)}"
            )
        image.putalpha(_read_alpha(media.metadata["alpha"], image.size))
    try:
        return _save(image, format)
    except (OSError, ValueError) as error:
        raise MediaError(f"cannot write a {image.width}x{image.height} picture as {format}: {error}") from error


def _read_alpha(data: bytes, size: tuple[int, int]) -> Image.Image:
    alpha = to_pillow(read_image(data).samples)
    if alpha.mode != "L" or alpha.size != size:
        raise MediaError(f"the alpha plane is {alpha.mode} {alpha.size}, the picture needs L {size}")
    return alpha


def _save(image: Image.Image, format: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **SAVE_OPTIONS.get(format, {}))
    return stream.getvalue()
