"""Measure the curves of classical codecs, and compare them with one another and with models of one rate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.evaluation.baselines import Baseline
from codec.evaluation.bd_rate import bd_rate_or_none
from codec.evaluation.measures import USUAL_MEASURES, Measures
from codec.evaluation.rate_curve import RateCurve, RatePoint, quality_of
from codec.evaluation.table import CodecSummary, ImageResult, measure, summarise
from codec.media import read_image


@dataclass(frozen=True)
class CurveComparison:
    """Two curves: mean percent of bits that `test` takes beyond `anchor`; None where they do not overlap."""

    anchor: str
    test: str
    bd_rate_psnr_percent: float | None
    bd_rate_ms_ssim_percent: float | None


@dataclass(frozen=True)
class PointComparison:
    """A model of one rate against a curve; None beyond the curve's ends.

    Attributes:
        psnr_gain_db: the model's PSNR less the curve's at the model's rate.
        ms_ssim_gain_db: likewise of MS-SSIM in decibels.
        rate_psnr_percent: the bits that the model takes beyond the curve's at the model's PSNR.
        rate_ms_ssim_percent: likewise at its MS-SSIM.
    """

    model: str
    curve: str
    psnr_gain_db: float | None
    ms_ssim_gain_db: float | None
    rate_psnr_percent: float | None
    rate_ms_ssim_percent: float | None


@dataclass(frozen=True)
class CurveReport:
    """Measured curves, and what follows from them.

    Attributes:
        bd_rates: of every curve but the first, against the first.
        gains: of every model against every curve.
    """

    curves: tuple[RateCurve, ...]
    models: tuple[tuple[str, RatePoint], ...]
    bd_rates: tuple[CurveComparison, ...]
    gains: tuple[PointComparison, ...]


def measure_curve(baseline: Baseline, files: Iterable[Path], measures: Measures = USUAL_MEASURES) -> RateCurve:
    """A classical codec at the qualities of its curve, each point the mean over the pictures."""
    rows: dict[int, list[ImageResult]] = {quality: [] for quality in baseline.curve}
    for file in files:
        samples = read_image(file).samples
        for quality, results in rows.items():
            results.append(measure(file.name, samples, baseline.code(samples, quality), measures))
    return RateCurve(baseline.name, tuple(point_of(summarise(results)[0]) for results in rows.values()))


def point_of(mean: CodecSummary) -> RatePoint:
    """Means over a set of pictures as a point of a curve."""
    return RatePoint(mean.bits_per_pixel, mean.psnr_db, mean.ms_ssim, mean.effnet, mean.lpips)


def report_curves(curves: Sequence[RateCurve], means: Sequence[CodecSummary]) -> CurveReport:
    """Compare curves with the first of them, and models, given as their means, with all."""
    models = tuple((mean.codec, point_of(mean)) for mean in means)
    return CurveReport(
        curves=tuple(curves),
        models=models,
        bd_rates=tuple(compare_curves(curves[0], curve) for curve in curves[1:]),
        gains=tuple(compare_point(name, point, curve) for name, point in models for curve in curves),
    )


def compare_curves(anchor: RateCurve, test: RateCurve) -> CurveComparison:
    """BD-rates of one curve against another."""
    rates = (bd_rate_or_none(anchor, test, measure) for measure in ("psnr_db", "ms_ssim"))
    return CurveComparison(anchor.name, test.name, *rates)


def compare_point(model: str, point: RatePoint, curve: RateCurve) -> PointComparison:
    """What a model gains at equal rate, and spends at equal quality."""
    similarity = quality_of(point, "ms_ssim")
    return PointComparison(
        model=model,
        curve=curve.name,
        psnr_gain_db=_less(point.psnr_db, curve.quality_at(point.bits_per_pixel)),
        ms_ssim_gain_db=_less(similarity, curve.quality_at(point.bits_per_pixel, "ms_ssim")),
        rate_psnr_percent=_percent_more(point.bits_per_pixel, curve.rate_at(point.psnr_db)),
        rate_ms_ssim_percent=_percent_more(
            point.bits_per_pixel, None if similarity is None else curve.rate_at(similarity, "ms_ssim")
        ),
    )


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _percent_more(rate: float, other: float | None) -> float | None:
    return None if other is None else 100 * (rate / other - 1)
