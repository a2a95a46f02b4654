"""Rows of rate and quality of coded videos, and curves of them."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from codec.evaluation.rate_curve import RateCurve, RatePoint
from codec.evaluation.video_baselines import VideoBaseline
from codec.evaluation.video_quality import VideoQuality, measure_video


@dataclass(frozen=True)
class VideoResult:
    """One video through one codec, measured.

    Attributes:
        setting: of the codec, on its own scale; the CRF of a baseline.
        bytes: of the bare stream.
        bits_per_pixel: `8 * bytes` over the pixels of all frames.
        kbps: `8 * bytes` over the duration, in thousands of bits a second.
        encode_seconds, decode_seconds: wall time for all frames, the changes from and to RGB included.
    """

    codec: str
    setting: int
    bytes: int
    bits_per_pixel: float
    kbps: float
    quality: VideoQuality
    encode_seconds: float
    decode_seconds: float


def measure_video_baseline(
    baseline: VideoBaseline, frames: Iterable[Tensor], rate_hz: float, qualities: Sequence[int], *, threads: int = 1
) -> list[VideoResult]:
    """Code a video at each quality, and compare what is decoded with it.

    Args:
        baseline: the codec.
        frames: uint8 RGB `(3, H, W)`, that can be gone through many times; an iterator cannot.
        rate_hz: frames a second.
        qualities: CRFs.
        threads: of the encoder.
    """
    return [_measured(baseline, frames, rate_hz, quality, threads) for quality in qualities]


def video_curve(rows: Sequence[VideoResult]) -> RateCurve:
    """Rows of one codec as a curve for `bd_rate`: bits per pixel, the mean of the frames' PSNRs in RGB, and of their MS-SSIMs."""
    names = {row.codec for row in rows}
    if len(names) != 1:
        raise ValueError(f"a curve is of one codec, got {sorted(names)}")
    points = (
        RatePoint(row.bits_per_pixel, row.quality.psnr_db, row.quality.ms_ssim, quality=row.setting) for row in rows
    )
    return RateCurve(rows[0].codec, tuple(points))


def _measured(
    baseline: VideoBaseline, frames: Iterable[Tensor], rate_hz: float, quality: int, threads: int
) -> VideoResult:
    started = time.perf_counter()
    coded = baseline.encode(frames, rate_hz, quality, threads=threads)
    encode_seconds = time.perf_counter() - started
    decoding = _Timed(baseline.decode(coded))
    found = measure_video(frames, decoding)
    height, width = coded.size
    return VideoResult(
        codec=baseline.name,
        setting=quality,
        bytes=coded.total_bytes,
        bits_per_pixel=8 * coded.total_bytes / (found.frames * height * width),
        kbps=8 * coded.total_bytes * rate_hz / found.frames / 1000,
        quality=found,
        encode_seconds=encode_seconds,
        decode_seconds=decoding.seconds,
    )


class _Timed:
    """An iterator with the wall time that its frames took, and not what was done between them."""

    def __init__(self, frames: Iterator[Tensor]) -> None:
        self._frames, self.seconds = frames, 0.0

    def __iter__(self) -> Iterator[Tensor]:
        return self

    def __next__(self) -> Tensor:
        started = time.perf_counter()
        try:
            return next(self._frames)
        finally:
            self.seconds += time.perf_counter() - started
