"""Numbers of whole videos: closed forms, the best values for equal videos, and a steady fall with noise."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec.errors import MediaError, UsageError
from codec.evaluation import FlickerMeter, measure_video, vmaf, vmaf_is_available
from codec.evaluation.luma import luma_levels, yuv420
from codec.evaluation.vmaf import mean_of_log
from codec.media import frame_comparison
from codec.media.yuv_frames import YuvFrames
from tests.evaluation.test_warping import noisy, panned


def grey(level: int, height: int = 16, width: int = 24) -> Tensor:
    return torch.full((3, height, width), level, dtype=torch.uint8)


def test_equal_videos() -> None:
    clip = panned(3, -2, 3, 176, 176)
    found = measure_video(clip, clip)
    assert found.frames == 3
    assert found.psnr_db == found.psnr_of_mean_db == found.psnr_y_db == found.psnr_yuv_db == math.inf
    assert found.ms_ssim == pytest.approx(1)
    assert found.psnr_deviation_db == 0
    assert found.ms_ssim_deviation == pytest.approx(0, abs=1e-6)
    assert found.warping_error == found.original_warping_error == 0
    assert found.flicker == found.original_flicker
    assert found.banding == found.original_banding


def test_everything_falls_with_noise() -> None:
    clip = panned(3, -2, 3, 176, 176)
    slight, strong = (measure_video(clip, noisy(clip, deviation)) for deviation in (3, 9))
    for name in ("psnr_db", "psnr_of_mean_db", "psnr_y_db", "psnr_yuv_db", "ms_ssim"):
        assert getattr(slight, name) > getattr(strong, name)
    assert slight.warping_error is not None
    assert strong.warping_error is not None
    assert 0 < slight.warping_error < strong.warping_error


def test_the_mean_of_psnrs_is_not_the_psnr_of_the_mean() -> None:
    found = measure_video([grey(100), grey(100)], [grey(101), grey(110)])
    decibels = [20 * math.log10(255 / error) for error in (1, 10)]
    assert found.psnr_db == pytest.approx(sum(decibels) / 2)
    assert found.psnr_of_mean_db == pytest.approx(10 * math.log10(255**2 / 50.5))
    assert found.psnr_deviation_db == pytest.approx(10)
    assert found.ms_ssim is None
    assert found.ms_ssim_deviation is None


def test_an_exact_frame_counts_100_decibels_in_the_deviation() -> None:
    found = measure_video([grey(100), grey(100)], [grey(100), grey(101)])
    assert found.psnr_db == math.inf
    assert found.psnr_deviation_db == pytest.approx((100 - 20 * math.log10(255)) / 2)


def test_planes_are_weighted_six_to_one() -> None:
    reference, other = grey(100), grey(100)
    other[0] = 110
    luma = 219 / 255 * 2.99
    blue, red = 224 / 255 * 2.99 / 1.772, 224 / 255 * 7.01 / 1.402
    found = measure_video([reference], [other])
    planes = [20 * math.log10(255 / error) for error in (luma, blue, red)]
    assert found.psnr_y_db == pytest.approx(planes[0], abs=1e-4)
    assert found.psnr_yuv_db == pytest.approx((6 * planes[0] + planes[1] + planes[2]) / 8, abs=1e-4)
    assert found.warping_error is None


def test_planes_of_odd_sizes_and_their_range() -> None:
    picture = torch.zeros(3, 5, 7, dtype=torch.uint8)
    picture[2] = 255
    luma, blue, red = yuv420(picture)
    assert (luma.shape, blue.shape, red.shape) == ((5, 7), (3, 4), (3, 4))
    assert luma.unique().item() == pytest.approx(16 + 219 * 0.114)
    assert blue.unique().item() == pytest.approx(240)
    assert int(luma_levels(grey(0)).max()) == 16
    assert int(luma_levels(grey(255)).min()) == 235


def flicker(original: list[Tensor], decoded: list[Tensor]) -> tuple[float | None, float | None]:
    meter = FlickerMeter()
    for pair in zip(original, decoded, strict=True):
        meter.add(*pair)
    return meter.result().decoded, meter.result().original


def test_flicker_is_the_variance_where_nothing_moves() -> None:
    still = [grey(128) for _ in range(4)]
    decoded = [grey((128, 132)[t % 2]) for t in range(4)]  # luma 126 and 129
    assert flicker(still, decoded) == (2.25, 0)
    half = [frame.clone() for frame in still]
    for t, frame in enumerate(half):
        frame[:, :, :12] = 40 * t  # moves, and does not count
    assert flicker(half, decoded) == (2.25, 0)
    assert flicker(half, half) == (0, 0)


def test_no_flicker_without_time_or_stillness() -> None:
    assert flicker([grey(1)], [grey(2)]) == (None, None)
    moving = [grey(0), grey(200)]
    assert flicker(moving, moving) == (None, None)


def test_videos_are_read_in_step() -> None:
    order: list[str] = []

    def frames(name: str) -> Iterator[Tensor]:
        for t in range(3):
            order.append(f"{name}{t}")
            yield grey(50 + t)

    assert measure_video(frames("a"), frames("b")).frames == 3
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_unlike_videos_raise() -> None:
    frame = grey(5)
    with pytest.raises(ValueError, match="the decoded one ends after 1"):
        measure_video([frame, frame], [frame])
    with pytest.raises(ValueError, match="the original one ends after 0"):
        measure_video([], [frame])
    with pytest.raises(ValueError, match="at least one frame"):
        measure_video([], [])
    with pytest.raises(ValueError, match=r"of one shape, got \(3, 16, 23\) as frame 1"):
        measure_video([frame, frame[:, :, 1:]], [frame, frame[:, :, 1:]])
    with pytest.raises(ValueError, match=r"\(3, H, W\)"):
        measure_video([frame[:1]], [frame[:1]])
    with pytest.raises(ValueError, match="agree in shape"):
        measure_video([frame], [frame[:, 1:]])


def test_vmaf_says_where_it_is_missing() -> None:
    clip = panned(2, 0, 1)
    if vmaf_is_available():
        assert vmaf(clip, clip) > vmaf(clip, noisy(clip, 9))
    else:
        with pytest.raises(UsageError, match="VMAF is not available"):
            vmaf(clip, clip)


def test_the_mean_is_read_from_the_log() -> None:
    frames = [{"frameNum": t, "metrics": {"vmaf": score}} for t, score in enumerate((80.0, 95.0))]
    log = {"version": "2.3.1", "frames": frames, "pooled_metrics": {"vmaf": {"min": 80.0, "mean": 87.5}}}
    assert mean_of_log(json.dumps(log)) == 87.5


def test_filters_compare_frames_in_pairs(tmp_path: Path) -> None:
    clip, converter, log = panned(3, 0, 1), YuvFrames(64, 96), tmp_path / "psnr.txt"
    decoded = noisy(clip, 6)
    pairs = ((converter.to_yuv(b), converter.to_yuv(a)) for a, b in zip(clip, decoded, strict=True))
    frame_comparison.run_comparison("psnr", {"stats_file": str(log)}, pairs)
    lines = [dict(part.split(":") for part in line.split()) for line in log.read_text().splitlines()]
    assert len(lines) == 3
    mean = sum(float(line["psnr_y"]) for line in lines) / 3
    assert measure_video(clip, decoded).psnr_y_db == pytest.approx(mean, abs=0.1)
    assert not frame_comparison.has_filter("nothing")
    with pytest.raises(MediaError, match="cannot compare videos with psnr"):
        frame_comparison.run_comparison("psnr", {"stats_file": str(tmp_path / "no" / "folder")}, [pairs_of_one()])


def pairs_of_one() -> tuple[object, object]:
    frame = YuvFrames(8, 8).to_yuv(grey(1, 8, 8))
    return frame, frame
