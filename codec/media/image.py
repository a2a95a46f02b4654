"""Pictures: PNG, JPEG, WebP, AVIF and a few more to grey or RGB samples of 8 or 16 bits and back, through Pillow."""

import io
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from codec.errors import MediaError, UsageError
from codec.media.damage import check_jpeg
from codec.media.deep import write_deep
from codec.media.files import whole_file
from codec.media.metadata import kept_profile, read_exif, to_srgb, writable_metadata
from codec.media.opening import identify, open_picture, opened_file
from codec.media.pixels import (
    STRIP_PIXELS,
    TO_SRGB_MODES,
    Pixels,
    eight_bits,
    is_deep,
    read_deep_pixels,
    read_pixels,
    refuse_unreadable,
    upright,
)
from codec.media.sources import Source, name_of
from codec.types import Media

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"}
)
"""Lower-case suffixes of the files that a folder walk takes as pictures."""

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
WITH_16_BITS = ("PNG", "TIFF", "PPM")
# A decoded picture should lose nothing more: lossless where the format can, else its finest usual setting.
SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "PNG": {"compress_level": 4},  # a third of the time of Pillow's default, for files 5 % larger
    "TIFF": {"compression": "tiff_deflate"},
}


def read_image(source: Source, *, bits: Literal[8, 16] = 8) -> Media:
    """Read one still picture, upright.

    A grey, 1-bit or grey + alpha file gives one channel, all else (palettes too) three. CMYK and LAB become sRGB. The metadata
    may hold `alpha`, the `(1, H, W)` alpha plane as a PNG file, where a pixel is not opaque (the colours under it are kept);
    `icc`, a colour profile that fits the samples; `exif`, a block that says nothing of orientation.

    Args:
        source: a file's path, its bytes, or an open binary stream, read from its start.
        bits: samples of more than 8 bits are given as uint16 with 16, rounded to uint8 with 8.

    Raises:
        MediaError: with one sentence that names the file and the reason.
    """
    name = name_of(source)
    with opened_file(source, name) as file:
        image = open_picture(file, name)
        refuse_unreadable(image, name)
        exif, icc = read_exif(image, name), image.info.get("icc_profile") or b""
        converted = image.mode in TO_SRGB_MODES
        if is_deep(image):
            pixels = read_deep_pixels(image, lambda: identify(file, name))
        else:
            image.load()
            if image.format in ("JPEG", "MPO"):
                check_jpeg(image, file)
            pixels = read_pixels(image, to_srgb(image, icc, name) if converted else None)
    del image  # frees its memory before the samples are turned
    samples = upright(pixels.colours if bits == 16 else eight_bits(pixels.colours), exif.orientation)
    metadata = dict(_alpha_file(pixels, bits, exif.orientation))
    if not converted:
        metadata |= kept_profile(icc, "L" if samples.shape[0] == 1 else "RGB", name)
    return Media("image", samples, metadata | ({"exif": exif.block} if exif.block else {}))


def write_image(media: Media, target: Path | BinaryIO, format: str | None = None) -> None:
    """Write a picture, with its alpha plane where it has one, and with its colour profile and EXIF where the format can.

    Args:
        media: kind `"image"`, uint8 or uint16 `(1 or 3, H, W)`; 16 bits stay in PNG, TIFF and PPM, else 8 are written.
        target: a file, which appears whole or not at all, or an open binary stream.
        format: a key of `WRITABLE`; the target's suffix by default.

    Raises:
        UsageError: a format that is not known, or cannot hold the alpha plane.
        MediaError: the encoder refuses the picture, or the target cannot be written.
    """
    chosen = _format_for(target, format)
    write = _writer(media, chosen, str(target) if isinstance(target, Path) else "the picture")
    if isinstance(target, Path) and chosen != "TIFF":  # whose writer must go back
        with whole_file(target) as file:
            write(file)
        return
    encoded = io.BytesIO()
    write(encoded)
    if isinstance(target, Path):
        with whole_file(target) as file:
            file.write(encoded.getbuffer())
        return
    try:
        target.write(encoded.getvalue())
    except OSError as error:
        raise MediaError(f"cannot write the picture: {error.strerror or error}") from error


def to_pillow(samples: Tensor) -> Image.Image:
    """uint8 or uint16 `(1 or 3, H, W)` to a Pillow picture of mode L or RGB, 8 bits."""
    _check(samples)
    channels, height, width = samples.shape
    image = Image.new("L" if channels == 1 else "RGB", (width, height))
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = eight_bits(samples[:, top : top + rows].cpu()).permute(1, 2, 0).contiguous().numpy()
        image.paste(Image.fromarray(strip[..., 0] if channels == 1 else strip), (0, top))
    return image


def _check(samples: Tensor) -> None:
    if samples.dtype not in (torch.uint8, torch.uint16) or samples.ndim != 3 or samples.shape[0] not in (1, 3):
        raise ValueError(f"a picture is uint8 or uint16 (1 or 3, H, W), got {samples.dtype} {tuple(samples.shape)}")


def _alpha_file(pixels: Pixels, bits: int, orientation: int) -> dict[str, bytes]:
    """The alpha plane as a PNG, of 16 bits only where 8 would lose something."""
    if pixels.alpha is None:
        return {}
    alpha = upright(pixels.alpha, orientation)
    encoded = io.BytesIO()
    if bits == 16 and alpha.dtype == torch.uint16 and (alpha.numpy() % 257).any():
        write_deep(alpha, encoded, "PNG")
    else:
        to_pillow(alpha).save(encoded, "PNG")
    return {"alpha": encoded.getvalue()}


def _format_for(target: Path | BinaryIO, format: str | None) -> str:
    wanted = format if format is not None else (target.suffix if isinstance(target, Path) else "")
    key = wanted.lower().removeprefix(".")
    if key not in WRITABLE:
        raise UsageError(f"cannot write pictures as {wanted!r}; the formats are {', '.join(WRITABLE)}")
    return WRITABLE[key]


def _writer(media: Media, format: str, name: str) -> Callable[[BinaryIO], None]:
    """What writes the picture into an open file; whatever can be wrong with the request is said before."""
    if media.kind != "image":
        raise UsageError(f"cannot write {media.kind} as a {format} picture")
    if "alpha" in media.metadata and format not in WITH_ALPHA:
        raise UsageError(f"{format} cannot hold the alpha plane of this picture; use one of {', '.join(WITH_ALPHA)}")
    _check(media.samples)
    channels, height, width = media.samples.shape
    deep = media.samples.dtype == torch.uint16 and format in WITH_16_BITS
    alpha = _read_alpha(media.metadata["alpha"], (width, height), deep) if "alpha" in media.metadata else None
    trial = partial(_write_samples, media.samples[:, :1, :1], None, io.BytesIO(), format)
    options = writable_metadata(media.metadata, format, "L" if channels == 1 else "RGB", name, trial)

    def write(file: BinaryIO) -> None:
        try:
            _write_samples(media.samples, alpha, file, format, **options)
        except (OSError, ValueError) as error:
            raise MediaError(f"cannot write a {width}x{height} picture as {format}: {error}") from error

    return write


def _write_samples(samples: Tensor, alpha: Tensor | None, file: BinaryIO, format: str, **options: bytes) -> None:
    """In full depth where the format can, with an alpha plane of the same type."""
    if samples.dtype == torch.uint16 and format in WITH_16_BITS:
        write_deep(samples if alpha is None else torch.cat([samples, alpha]), file, format, **options)
        return
    image = to_pillow(samples)
    if alpha is not None:
        image.putalpha(to_pillow(alpha))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on EXIF whose tags lie
        image.save(file, format, **SAVE_OPTIONS.get(format, {}), **options)


def _read_alpha(data: bytes, size: tuple[int, int], deep: bool) -> Tensor:
    """`(1, H, W)` of the picture's size; uint16 if `deep`."""
    alpha = read_image(data, bits=16 if deep else 8).samples
    if alpha.shape != (1, size[1], size[0]):
        found = ("L" if alpha.shape[0] == 1 else "RGB", (alpha.shape[2], alpha.shape[1]))
        raise MediaError(f"the alpha plane is {found[0]} {found[1]}, the picture needs L {size}")
    if deep and alpha.dtype == torch.uint8:
        return torch.from_numpy(alpha.numpy().astype(np.uint16) * np.uint16(257))
    return alpha
