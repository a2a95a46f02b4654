"""Compare curves with one another, and models of one rate with curves.

BD-rates are against the first curve, which is usually JPEG: then its qualities 5, 10 … 95 count (Pillow's libjpeg-turbo, optimised
Huffman tables, 4:2:0), so that the anchor is the same whatever else was measured. As the mean over a range depends on the
range, and every codec has its own, each is given once more for the rates from 0.1 to 0.8 bits per pixel of both curves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from codec.evaluation.bd_rate import EVERYWHERE, Span, bd_rate_or_none
from codec.evaluation.measuring import point_of
from codec.evaluation.rate_curve import RateCurve, RatePoint, quality_of
from codec.evaluation.table import CodecSummary

JPEG_ANCHOR = range(5, 96, 5)
USUAL_RATES: Span = (0.1, 0.8)  # bits per pixel


@dataclass(frozen=True)
class CurveComparison:
    """Two curves: mean percent of bits that `test` takes beyond `anchor`; None where they do not overlap.

    Attributes:
        bd_rate_psnr_percent: over all qualities that both reach.
        bd_rate_ms_ssim_percent: likewise.
        usual_psnr_percent: over those that both reach within `USUAL_RATES`.
        usual_ms_ssim_percent: likewise.
    """

    anchor: str
    test: str
    bd_rate_psnr_percent: float | None
    bd_rate_ms_ssim_percent: float | None
    usual_psnr_percent: float | None
    usual_ms_ssim_percent: float | None


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
        curves: of classical codecs.
        model_curves: of models with continuous quality.
        models: those of one rate.
        bd_rates: of every curve but the first, and of published ones, against the first.
        gains: of every model of one rate against every measured curve.
    """

    curves: tuple[RateCurve, ...]
    model_curves: tuple[RateCurve, ...]
    models: tuple[tuple[str, RatePoint], ...]
    bd_rates: tuple[CurveComparison, ...]
    gains: tuple[PointComparison, ...]


def report_curves(
    curves: Sequence[RateCurve],
    means: Sequence[CodecSummary] = (),
    *,
    model_curves: Sequence[RateCurve] = (),
    published: Sequence[RateCurve] = (),
) -> CurveReport:
    """Compare all curves with the first of them, and models of one rate, given as their means, with what was measured here."""
    models = tuple((mean.codec, point_of(mean)) for mean in means)
    measured = [*curves, *model_curves]
    compared = [*measured[1:], *published] if measured else []
    return CurveReport(
        curves=tuple(curves),
        model_curves=tuple(model_curves),
        models=models,
        bd_rates=tuple(compare_curves(anchor_of(measured[0]), test) for test in compared),
        gains=tuple(compare_point(name, point, curve) for name, point in models for curve in measured),
    )


def anchor_of(curve: RateCurve) -> RateCurve:
    """What BD-rates compare with: the curve, of JPEG's only the points at the agreed qualities."""
    if curve.name != "jpeg":
        return curve
    return replace(curve, points=tuple(point for point in curve.points if point.quality in JPEG_ANCHOR))


def compare_curves(anchor: RateCurve, test: RateCurve) -> CurveComparison:
    """BD-rates of one curve against another."""
    rates = (
        bd_rate_or_none(anchor, test, measure, within=within)
        for within in (EVERYWHERE, USUAL_RATES)
        for measure in ("psnr_db", "ms_ssim")
    )
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
