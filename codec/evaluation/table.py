"""Rows of rate and distortion, their means, and their JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from torch import Tensor

from codec.evaluation.baselines import CodedImage
from codec.evaluation.ms_ssim import SMALLEST_SIDE, ms_ssim
from codec.evaluation.psnr import psnr
from codec.media.files import whole_file


@dataclass(frozen=True)
class ImageResult:
    """One picture through one codec, measured.

    Attributes:
        bytes: size of the whole coded file.
        bits_per_pixel: `8 * bytes / (H * W)`.
        psnr_db: over all channels; infinite where nothing was lost.
        ms_ssim: linear; None where the picture is too small for it.
    """

    codec: str
    image: str
    bytes: int
    bits_per_pixel: float
    psnr_db: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class CodecSummary:
    """Means over the pictures of one codec, each picture with the same weight.

    Attributes:
        images: number of pictures.
        ms_ssim: None where any picture was too small for it.
    """

    codec: str
    images: int
    bytes: float
    bits_per_pixel: float
    psnr_db: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float


def measure(image: str, reference: Tensor, coded: CodedImage) -> ImageResult:
    """Compare a coded picture with the original, uint8 `(C, H, W)`."""
    height, width = reference.shape[1:]
    return ImageResult(
        codec=coded.name,
        image=image,
        bytes=len(coded.data),
        bits_per_pixel=8 * len(coded.data) / (height * width),
        psnr_db=psnr(reference, coded.decoded),
        ms_ssim=ms_ssim(reference, coded.decoded) if min(height, width) >= SMALLEST_SIDE else None,
        encode_seconds=coded.encode_seconds,
        decode_seconds=coded.decode_seconds,
    )


def summarise(rows: Sequence[ImageResult]) -> list[CodecSummary]:
    """Means for each codec, in the order in which the codecs first appear."""
    return [_mean([row for row in rows if row.codec == codec]) for codec in dict.fromkeys(row.codec for row in rows)]


def _mean(rows: Sequence[ImageResult]) -> CodecSummary:
    similarities = [row.ms_ssim for row in rows if row.ms_ssim is not None]
    return CodecSummary(
        codec=rows[0].codec,
        images=len(rows),
        bytes=fmean(row.bytes for row in rows),
        bits_per_pixel=fmean(row.bits_per_pixel for row in rows),
        psnr_db=fmean(row.psnr_db for row in rows),
        ms_ssim=fmean(similarities) if len(similarities) == len(rows) else None,
        encode_seconds=fmean(row.encode_seconds for row in rows),
        decode_seconds=fmean(row.decode_seconds for row in rows),
    )


def to_json(rows: Sequence[ImageResult], path: Path) -> None:
    """Write `{"means": [...], "images": [...]}`, one object a row; an infinite PSNR is the string `"inf"`."""
    content = {"means": _plain(summarise(rows)), "images": _plain(rows)}
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")


def _plain(rows: Sequence[ImageResult] | Sequence[CodecSummary]) -> list[dict[str, object]]:
    return [{name: "inf" if value == math.inf else value for name, value in asdict(row).items()} for row in rows]
