"""Code pictures with a model or a classical codec, and measure whole curves: means over the pictures at each quality.

A point of a curve is the mean of bits per pixel and the mean of each measure over the pictures, every picture with the same
weight, at one quality; the rate is that of real files.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from codec.evaluation.baselines import Baseline, CodedImage
from codec.evaluation.measures import USUAL_MEASURES, Measures
from codec.evaluation.rate_curve import RateCurve, RatePoint
from codec.evaluation.table import CodecSummary, ImageResult, measure, summarise
from codec.media import read_image
from codec.models import LatentCodec
from codec.models.base import PLAIN, Encoding
from codec.types import Media

CURVE_QUALITIES = (1, 10, 25, 40, 55, 70, 85, 100)
"""Of the curve of a model with continuous quality."""


class FileCodec(Protocol):
    """The part of a codec that is measured: pictures to files and back."""

    def compress(self, media: Media, encoding: Encoding = PLAIN) -> bytes:
        """A picture to the bytes of a file."""

    def decompress(self, data: bytes) -> Media:
        """The way back."""


def is_continuous(codec: object) -> bool:
    """Whether a model has qualities to choose from."""
    return isinstance(codec, LatentCodec) and codec.prior.is_continuous


def code_with_model(name: str, codec: FileCodec, media: Media, encoding: Encoding = PLAIN) -> CodedImage:
    """Encode to the bytes of a file, decode from them, with the wall time of each."""
    begin = time.perf_counter()
    data = codec.compress(media, encoding)
    middle = time.perf_counter()
    decoded = codec.decompress(data).samples
    return CodedImage(name, encoding.quality, data, decoded, middle - begin, time.perf_counter() - middle)


def measure_curve(baseline: Baseline, files: Iterable[Path], measures: Measures = USUAL_MEASURES) -> RateCurve:
    """A classical codec at the qualities of its curve."""
    return _curve(baseline.name, baseline.curve, lambda media, q: baseline.code(media.samples, q), files, measures)


def measure_model_curve(
    name: str,
    codec: FileCodec,
    files: Iterable[Path],
    qualities: Sequence[int] = CURVE_QUALITIES,
    measures: Measures = USUAL_MEASURES,
) -> RateCurve:
    """A model of continuous rate at some of its qualities."""
    return _curve(
        name, qualities, lambda media, q: code_with_model(name, codec, media, Encoding(quality=q)), files, measures
    )


def point_of(mean: CodecSummary, quality: int | None = None) -> RatePoint:
    """Means over a set of pictures as a point of a curve."""
    return RatePoint(mean.bits_per_pixel, mean.psnr_db, mean.ms_ssim, mean.effnet, mean.lpips, quality)


def _curve(
    name: str,
    qualities: Sequence[int],
    code: Callable[[Media, int], CodedImage],
    files: Iterable[Path],
    measures: Measures,
) -> RateCurve:
    rows: dict[int, list[ImageResult]] = {quality: [] for quality in qualities}
    for file in files:
        media = read_image(file)
        for quality, results in rows.items():
            results.append(measure(file.name, media.samples, code(media, quality), measures))
    return RateCurve(name, tuple(point_of(summarise(results)[0], quality) for quality, results in rows.items()))
