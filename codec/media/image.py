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
# What brings each EXIF orientation upright. `ImageOps.exif_transpose` also rewrites the EXIF block and fails on odd tags.
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

    Raises:
        MediaError: with one sentence that names the file and the reason.
    """
    name = str(source) if isinstance(source, str | Path) else str(getattr(source, "name", "the picture"))
    with _opened(source, name) as file, _decoder_errors(name):
        with Image.open(file, formats=READABLE) as image:
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
    encoded = encode_image(media, _format_for(target, format))
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
