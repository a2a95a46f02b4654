"""Measure codecs on pictures: a model through its real file, a classical codec at no fewer bytes."""

import time
from collections.abc import Iterator, Sequence

from torch import Tensor

from codec.evaluation import Baseline, ImageResult, at_size, baseline, ms_ssim, psnr
from codec.models import Codec
from codec.types import Media

MS_SSIM_SIDE = 161  # the five scales need this many pixels


def baselines(names: str) -> list[Baseline]:
    """Classical codecs from a comma-separated list."""
    return [baseline(name.strip()) for name in names.split(",") if name.strip()]


def measure_model(name: str, codec: Codec, image: str, media: Media) -> tuple[ImageResult, Tensor]:
    """Encode to bytes, decode from bytes; the row and the decoded samples."""
    begin = time.perf_counter()
    data = codec.compress(media)
    middle = time.perf_counter()
    decoded = codec.decompress(data).samples
    end = time.perf_counter()
    return row(name, image, media.samples, decoded, len(data), middle - begin, end - middle), decoded


def measure_baselines(
    classical: Sequence[Baseline], image: str, media: Media, target_bytes: int
) -> Iterator[tuple[ImageResult, Tensor]]:
    """Each classical codec at the smallest quality that spends at least `target_bytes`."""
    rgb = media.samples.expand(3, -1, -1)
    for codec in classical:
        coded = at_size(codec, rgb, target_bytes)
        result = row(codec.name, image, rgb, coded.decoded, len(coded.data), coded.encode_seconds, coded.decode_seconds)
        yield result, coded.decoded


def row(
    name: str,
    image: str,
    original: Tensor,
    decoded: Tensor,
    size_bytes: int,
    encode_seconds: float,
    decode_seconds: float,
) -> ImageResult:
    """One line of a report."""
    height, width = original.shape[1:]
    large = min(height, width) >= MS_SSIM_SIDE
    return ImageResult(
        codec=name,
        image=image,
        bytes=size_bytes,
        bits_per_pixel=8 * size_bytes / (height * width),
        psnr_db=psnr(original, decoded),
        ms_ssim=ms_ssim(original, decoded) if large else None,
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
    )
