"""BD-rates with known values, interpolation against scipy, published curves, comparisons and plots."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.interpolate import PchipInterpolator

from codec.errors import MediaError, UsageError
from codec.evaluation import (
    BASELINES,
    JPEG_ANCHOR,
    CodecSummary,
    RateCurve,
    RatePoint,
    anchor_of,
    bd_rate,
    compare_point,
    measure_curve,
    plot_rate_distortion,
    point_of,
    read_published,
    report_curves,
)
from codec.evaluation.interpolation import MonotoneCubic
from codec.evaluation.rate_curve import Measure
from tests.conftest import synthetic_picture

RATES, PSNR = (0.1, 0.2, 0.45, 0.9, 1.4), (25.0, 28.5, 32.0, 35.5, 37.0)
SIMILARITY = (0.85, 0.92, 0.96, 0.98, 0.99)


def curve(factor: float = 1.0, shift: float = 0.0, name: str = "one") -> RateCurve:
    points = (RatePoint(factor * r, p + shift, s) for r, p, s in zip(RATES, PSNR, SIMILARITY, strict=True))
    return RateCurve(name, tuple(points))


@pytest.mark.parametrize("points", [2, 3, 4, 12])
@pytest.mark.parametrize("seed", range(8))
def test_interpolation_is_that_of_scipy(points: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x, y = np.sort(random.uniform(0, 9, points)), random.normal(size=points)
    if seed % 2:
        y.sort()
    ours, theirs, at = MonotoneCubic(x, y), PchipInterpolator(x, y), np.linspace(x[0], x[-1], 77)
    np.testing.assert_allclose(ours(at), theirs(at), atol=1e-12)
    low, high = (x[0] + share * (x[-1] - x[0]) for share in (0.15, 0.8))
    assert ours.mean(low, high) == pytest.approx(theirs.integrate(low, high) / (high - low))


@pytest.mark.parametrize("x", [[0.0], [0.0, 0.0], [1.0, 0.0]])
def test_interpolation_needs_points_in_order(x: list[float]) -> None:
    with pytest.raises(ValueError, match="strictly rising"):
        MonotoneCubic(x, x)


@pytest.mark.parametrize("measure", ["psnr_db", "ms_ssim"])
@pytest.mark.parametrize("factor", [1.0, 0.5, 2.0, 0.9])
def test_bd_rate_of_a_scaled_rate_is_the_scale(measure: str, factor: float) -> None:
    assert bd_rate(curve(), curve(factor), measure) == pytest.approx(100 * (factor - 1), abs=1e-9)  # type: ignore[arg-type]


def test_bd_rate_of_a_shifted_quality_on_a_straight_line() -> None:
    """At 6 dB for each doubling, 3 dB more are worth a factor of the root of two."""
    lines = [RateCurve("line", tuple(RatePoint(2.0**i, 6.0 * i + shift) for i in range(-3, 3))) for shift in (0, 3)]
    low, high = lines
    assert bd_rate(low, high) == pytest.approx(100 * (math.sqrt(0.5) - 1))
    assert bd_rate(high, low) == pytest.approx(100 * (math.sqrt(2) - 1))


def test_bd_rate_compares_where_both_have_values() -> None:
    part = RateCurve("part", curve(0.5).points[1:])
    assert bd_rate(curve(), part) == pytest.approx(-50, abs=5)
    assert bd_rate(curve(), RateCurve("any order", tuple(reversed(curve(0.5).points)))) == pytest.approx(-50)


@pytest.mark.parametrize("measure", ["psnr_db", "ms_ssim"])
def test_bd_rate_within_a_span_of_both_rates(measure: Measure) -> None:
    span = (0.15, 0.7)
    inside = bd_rate(curve(), curve(0.8), measure, within=span)
    assert inside == pytest.approx(-20)
    kinked = RateCurve("kinked", (*curve(0.8).points[:-1], RatePoint(9.0, 37.0, 0.99)))  # dear only beyond the span
    assert bd_rate(curve(), kinked, measure) > inside + 5
    assert bd_rate(curve(), kinked, measure, within=(0.15, 0.4)) == pytest.approx(inside, abs=0.5)
    with pytest.raises(UsageError, match=r"one has nothing between 2 and 3 bits per pixel"):
        bd_rate(curve(), curve(0.8), measure, within=(2, 3))


def test_a_span_ends_where_the_curve_does() -> None:
    assert curve().between(0.0, 99.0) == (25.0, 37.0)
    low, high = curve().between(0.2, 0.9) or (0.0, 0.0)
    assert (low, high) == (pytest.approx(28.5), pytest.approx(35.5))
    assert curve().between(0.01, 0.1) is None
    assert RateCurve("nothing", ()).between(0.1, 0.8) is None


def test_the_anchor_is_jpeg_at_agreed_qualities() -> None:
    assert set(JPEG_ANCHOR) <= set(BASELINES["jpeg"].curve)
    points = tuple(RatePoint(0.01 * q, 20 + q / 10, quality=q) for q in BASELINES["jpeg"].curve)
    assert [point.quality for point in anchor_of(RateCurve("jpeg", points)).points] == list(range(5, 96, 5))
    assert anchor_of(RateCurve("webp", points)).points == points


def test_points_that_a_cheaper_one_beats_do_not_count() -> None:
    worse = RateCurve("kinked", (*curve(0.5).points, RatePoint(0.5, 26.0, 0.86)))
    assert len(worse.series("psnr_db")[0]) == 6
    assert bd_rate(curve(), worse) == pytest.approx(-50)


def test_curves_that_do_not_overlap_or_are_too_short_raise() -> None:
    with pytest.raises(UsageError, match=r"of one, 25.00 to 37.00, and of high, 65.00 to 77.00, do not overlap"):
        bd_rate(curve(), curve(shift=40, name="high"))
    with pytest.raises(UsageError, match="short has 3 points with rising psnr_db, at least 4"):
        bd_rate(curve(), RateCurve("short", curve().points[:3]))
    with pytest.raises(UsageError, match="one has 0 points with rising effnet"):
        bd_rate(curve(), curve(), "effnet")


def test_distances_count_downwards() -> None:
    near, far = (RateCurve("d", tuple(RatePoint(r, 30, effnet=d / r) for r in RATES)) for d in (0.1, 0.2))
    assert bd_rate(near, far, "effnet") > 0
    assert bd_rate(far, near, "effnet") < 0


def test_a_model_against_a_curve() -> None:
    gain, rate = compare_point("m", RatePoint(0.2, 30.5, 0.92), curve()), curve().rate_at(30.5)
    assert rate is not None
    assert 0.2 < rate < 0.45
    assert gain.psnr_gain_db == pytest.approx(2.0)
    assert gain.ms_ssim_gain_db == pytest.approx(0.0)
    assert gain.rate_psnr_percent == pytest.approx(100 * (0.2 / rate - 1))
    assert gain.rate_ms_ssim_percent == pytest.approx(0.0)
    outside = compare_point("m", RatePoint(0.05, 20.0), curve())
    assert {outside.psnr_gain_db, outside.ms_ssim_gain_db, outside.rate_psnr_percent} == {None}


def test_measured_curve_is_the_mean_at_each_quality(tmp_path: Path) -> None:
    files = [tmp_path / f"{seed}.png" for seed in range(2)]
    for seed, file in enumerate(files):
        Image.fromarray(synthetic_picture(48, 64, seed).permute(1, 2, 0).numpy()).save(file)
    measured = measure_curve(BASELINES["jpeg"], files)
    sizes = [len(BASELINES["jpeg"].encode(synthetic_picture(48, 64, seed), 95)) for seed in range(2)]
    assert len(measured.points) == len(BASELINES["jpeg"].curve)
    assert measured.points[-1].bits_per_pixel == pytest.approx(8 * sum(sizes) / 2 / (48 * 64))
    assert measured.points[-1].ms_ssim is None
    means = [CodecSummary("model", 2, 300.0, 0.8, 30.0, None, 0.1, 0.1)]
    report = report_curves([measured, measured], means)
    assert report.bd_rates[0].bd_rate_psnr_percent == pytest.approx(0, abs=0.5)  # the anchor has fewer points
    assert report.bd_rates[0].bd_rate_ms_ssim_percent is None
    assert report.models == (("model", point_of(means[0])),)
    assert len(report.gains) == 2
    assert report_curves([], means).gains == ()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    content = {
        "old": {"name": "Old", "bpp": [0.1, 0.2], "psnr-rgb": [25.0, 27.0], "ms-ssim-rgb": [0.8, 0.9]},
        "db": {"name": "Decibels", "bpp": [0.1, 0.2], "psnr-rgb": [26.0, 28.0], "ms-ssim-db-rgb": [10.0, 20.0]},
        "bare": {"name": "Bare", "bpp": [0.1], "psnr-rgb": [26.5]},
    }
    (tmp_path / "published.json").write_text(json.dumps({"curves": content}))
    return tmp_path / "published.json"


def test_published_curves(published: Path) -> None:
    old, decibels, bare = read_published(published)
    assert old == RateCurve("Old", (RatePoint(0.1, 25.0, 0.8), RatePoint(0.2, 27.0, 0.9)))
    assert [point.ms_ssim for point in decibels.points] == pytest.approx([0.9, 0.99])
    assert bare.points == (RatePoint(0.1, 26.5),)
    assert [found.name for found in read_published(published, ["bare", "old"])] == ["Bare", "Old"]
    with pytest.raises(UsageError, match="no curve new: choose from old, db, bare"):
        read_published(published, ["new"])


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"curves": [1]}',
        '{"curves": {"a": {}}}',
        '{"curves": {"a": {"name": "A", "bpp": [1, 2], "psnr-rgb": [3]}}}',
    ],
)
def test_other_files_are_no_published_curves(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(MediaError, match=r"bad.json is no file of published curves"):
        read_published(tmp_path / "bad.json")
    with pytest.raises(MediaError, match=r"cannot read .*none.json"):
        read_published(tmp_path / "none.json")


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_plot_is_written_the_same_each_time(suffix: str, tmp_path: Path, published: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("first", "second"):
        plot_rate_distortion(
            tmp_path / f"{name}{suffix}",
            [curve()],
            [("model", RatePoint(0.3, 31.0, 0.95)), ("lossless", RatePoint(0.9, math.inf, 1.0))],
            published=read_published(published),
            model_curves=[curve(0.7, name="continuous")],
            title="three curves",
        )
    first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("first", "second"))
    assert first == second
    assert 2_000 < len(first) < 200_000
    if suffix == ".png":
        with Image.open(tmp_path / "first.png") as image:
            assert image.width > 900


def test_plots_that_cannot_be_drawn_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UsageError, match=r"as .png or .svg, got plot.jpg"):
        plot_rate_distortion(tmp_path / "plot.jpg", [curve()])
    with pytest.raises(UsageError, match="nothing to plot"):
        plot_rate_distortion(tmp_path / "plot.png", [])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="matplotlib: pip install matplotlib"):
        plot_rate_distortion(tmp_path / "plot.png", [curve()])
    assert not list(tmp_path.iterdir())
