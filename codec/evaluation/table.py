"""Rows of rate and distortion, and their means."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from torch import Tensor

from codec.evaluation.baselines import CodedImage
from codec.evaluation.measures import USUAL_MEASURES, Measures, distance, similarity
from codec.evaluation.psnr import psnr


@dataclass(frozen=True)
class ImageResult:
    """One picture through one codec, measured.

    Attributes:
        bytes: size of the whole coded file.
        bits_per_pixel: `8 * bytes / (H * W)`.
        psnr_db: over all channels; infinite where nothing was lost.
        ms_ssim: linear; None where it was not asked for, or the picture is too small for it.
        effnet: `EfficientNetDistance`; None as above.
        lpips: `LPIPSDistance`; None as above.
    """

    codec: str
    image: str
    bytes: int
    bits_per_pixel: float
    psnr_db: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float
    effnet: float | None = None
    lpips: float | None = None


@dataclass(frozen=True)
class CodecSummary:
    """Means over the pictures of one codec, each picture with the same weight.

    Attributes:
        images: number of pictures.
        ms_ssim, effnet, lpips: None where any picture has none.
    """

    codec: str
    images: int
    bytes: float
    bits_per_pixel: float
    psnr_db: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float
    effnet: float | None = None
    lpips: float | None = None


def measure(image: str, reference: Tensor, coded: CodedImage, measures: Measures = USUAL_MEASURES) -> ImageResult:
    """Compare a coded picture with the original, uint8 `(1 or 3, H, W)`."""
    height, width = reference.shape[1:]
    return ImageResult(
        codec=coded.name,
        image=image,
        bytes=len(coded.data),
        bits_per_pixel=8 * len(coded.data) / (height * width),
        psnr_db=psnr(reference, coded.decoded),
        ms_ssim=similarity(reference, coded.decoded) if measures.ms_ssim else None,
        encode_seconds=coded.encode_seconds,
        decode_seconds=coded.decode_seconds,
        effnet=distance(measures.effnet, reference, coded.decoded),
        lpips=distance(measures.lpips, reference, coded.decoded),
    )


def summarise(rows: Sequence[ImageResult]) -> list[CodecSummary]:
    """Means for each codec, in the order in which the codecs first appear."""
    return [_mean([row for row in rows if row.codec == codec]) for codec in dict.fromkeys(row.codec for row in rows)]


def _mean(rows: Sequence[ImageResult]) -> CodecSummary:
    return CodecSummary(
        codec=rows[0].codec,
        images=len(rows),
        bytes=fmean(row.bytes for row in rows),
        bits_per_pixel=fmean(row.bits_per_pixel for row in rows),
        psnr_db=fmean(row.psnr_db for row in rows),
        ms_ssim=_mean_of_all([row.ms_ssim for row in rows]),
        encode_seconds=fmean(row.encode_seconds for row in rows),
        decode_seconds=fmean(row.decode_seconds for row in rows),
        effnet=_mean_of_all([row.effnet for row in rows]),
        lpips=_mean_of_all([row.lpips for row in rows]),
    )


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
