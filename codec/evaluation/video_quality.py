"""What a decoded video is worth next to its original: fidelity of the frames, and steadiness over time.

All of it streams: two frames and a few sums are in memory, however long the video.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import fmean, pstdev

import torch
from torch import Tensor

from codec.evaluation.banding import BandingMeter
from codec.evaluation.flicker import FlickerMeter
from codec.evaluation.luma import yuv420
from codec.evaluation.measures import similarity
from codec.evaluation.psnr import check_pictures
from codec.evaluation.warping import WarpingMeter

YUV_WEIGHTS = (6, 1, 1)
LOSSLESS_DB = 100.0  # what a frame without any error counts in a deviation


@dataclass(frozen=True)
class VideoQuality:
    """A decoded video next to its original; every peak is 255, every frame has the same weight.

    Attributes:
        frames: their number.
        psnr_db: the mean of the frames' PSNRs in RGB; infinite as soon as one frame is exact.
        psnr_of_mean_db: the PSNR in RGB of the mean of the frames' squared errors, which is never higher; bad frames count more.
        psnr_y_db: the mean of the frames' PSNRs of luma, BT.601 in limited range.
        psnr_yuv_db: the mean of `(6 Y + Cb + Cr) / 8` over those of 4:2:0; infinite as soon as one plane of a frame is exact.
        ms_ssim: the mean of the frames' in RGB, linear; None for pictures below 161 pixels.
        psnr_deviation_db: standard deviation over the frames of PSNR in RGB, where an exact one counts 100 dB.
        ms_ssim_deviation: the same of MS-SSIM.
        warping_error, original_warping_error: see `WarpingError`.
        flicker, original_flicker: see `Flicker`.
        banding, original_banding: see `Banding`.
    """

    frames: int
    psnr_db: float
    psnr_of_mean_db: float
    psnr_y_db: float
    psnr_yuv_db: float
    ms_ssim: float | None
    psnr_deviation_db: float
    ms_ssim_deviation: float | None
    warping_error: float | None
    original_warping_error: float | None
    flicker: float | None
    original_flicker: float | None
    banding: float | None
    original_banding: float | None


@torch.inference_mode()
def measure_video(original: Iterable[Tensor], decoded: Iterable[Tensor]) -> VideoQuality:
    """Compare two videos, frame by frame.

    Args:
        original: uint8 RGB frames `(3, H, W)` of one shape, at least one.
        decoded: as many of the same shape.
    """
    fidelity, meters = _Fidelity(), (WarpingMeter(), FlickerMeter(), BandingMeter())
    shape = None
    for pair in zip_longest(original, decoded):
        reference, found = _checked(pair, shape, fidelity.frames)
        shape = reference.shape
        fidelity.add(reference, found)
        for meter in meters:
            meter.add(reference, found)
    if not fidelity.frames:
        raise ValueError("a video has at least one frame, got none")
    warping, flicker, banding = meters[0].result(), meters[1].result(), meters[2].result()
    return VideoQuality(
        frames=fidelity.frames,
        psnr_db=fmean(fidelity.psnr),
        psnr_of_mean_db=decibels(fmean(fidelity.squared_errors)),
        psnr_y_db=fmean(fidelity.psnr_y),
        psnr_yuv_db=fmean(fidelity.psnr_yuv),
        ms_ssim=fmean(fidelity.ms_ssim) if fidelity.ms_ssim else None,
        psnr_deviation_db=pstdev(min(value, LOSSLESS_DB) for value in fidelity.psnr),
        ms_ssim_deviation=pstdev(fidelity.ms_ssim) if fidelity.ms_ssim else None,
        warping_error=warping.decoded,
        original_warping_error=warping.original,
        flicker=flicker.decoded,
        original_flicker=flicker.original,
        banding=banding.decoded,
        original_banding=banding.original,
    )


def decibels(mean_squared_error: float) -> float:
    """PSNR with a peak of 255; `inf` for no error."""
    return 10 * math.log10(255**2 / mean_squared_error) if mean_squared_error else math.inf


class _Fidelity:
    """Numbers of each frame by itself."""

    def __init__(self) -> None:
        self.frames = 0
        self.squared_errors: list[float] = []
        self.psnr: list[float] = []
        self.psnr_y: list[float] = []
        self.psnr_yuv: list[float] = []
        self.ms_ssim: list[float] = []

    def add(self, reference: Tensor, found: Tensor) -> None:
        self.frames += 1
        self.squared_errors.append(_squared_error(reference, found))
        self.psnr.append(decibels(self.squared_errors[-1]))
        planes = [decibels(_squared_error(*pair)) for pair in zip(yuv420(reference), yuv420(found), strict=True)]
        self.psnr_y.append(planes[0])
        self.psnr_yuv.append(sum(w * db for w, db in zip(YUV_WEIGHTS, planes, strict=True)) / sum(YUV_WEIGHTS))
        value = similarity(reference, found)
        if value is not None:
            self.ms_ssim.append(value)


def _squared_error(reference: Tensor, found: Tensor) -> float:
    return float((reference.double() - found.double()).square().mean())


def _checked(pair: Sequence[Tensor | None], shape: torch.Size | None, index: int) -> tuple[Tensor, Tensor]:
    reference, found = pair
    if reference is None or found is None:
        shorter = "original" if reference is None else "decoded"
        raise ValueError(f"both videos need one number of frames, the {shorter} one ends after {index}")
    check_pictures(reference, found)
    if reference.shape[0] != 3 or reference.shape != (shape or reference.shape):
        raise ValueError(f"frames are (3, H, W) of one shape, got {tuple(reference.shape)} as frame {index}")
    return reference, found
