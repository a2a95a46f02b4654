"""Bjontegaard's mean difference of rate between two codecs at equal quality.

Bjontegaard 2001, "Calculation of average PSNR differences between RD-curves", VCEG-M33; interpolated piecewise (as in
VCEG-AL22 and JVET) and not by one cubic polynomial, which fits four points and goes astray with more.
"""

import math

import numpy as np

from codec.errors import UsageError
from codec.evaluation.interpolation import MonotoneCubic, Values
from codec.evaluation.rate_curve import Measure, RateCurve

FEWEST_POINTS = 4
Span = tuple[float, float]
EVERYWHERE: Span = (0.0, math.inf)


def bd_rate(anchor: RateCurve, test: RateCurve, measure: Measure = "psnr_db", *, within: Span = EVERYWHERE) -> float:
    """How many percent more bits `test` takes than `anchor`, averaged over the range of quality that both reach.

    The logarithm of the rate is a monotone cubic function of the quality, through the points that no cheaper one of the same
    curve beats. Negative: `test` needs less.

    Args:
        anchor: what `test` is compared with.
        test: at any rates.
        measure: of quality.
        within: lowest and highest bits per pixel; what either curve has outside does not count.

    Raises:
        UsageError: a curve of fewer than four such points, or no common range.
    """
    reference, other = _checked(anchor, measure), _checked(test, measure)
    spans = [_span(curve, measure, within) for curve in (anchor, test)]
    low, high = max(span[0] for span in spans), min(span[1] for span in spans)
    if low >= high:
        raise UsageError(
            f"no BD-rate: the {measure} of {anchor.name}, {_range(spans[0])}, and of {test.name}, {_range(spans[1])},"
            " do not overlap; measure at other rates"
        )
    means = [MonotoneCubic(quality, np.log(rates)).mean(low, high) for rates, quality in (reference, other)]
    return 100 * (math.exp(means[1] - means[0]) - 1)


def bd_rate_or_none(
    anchor: RateCurve, test: RateCurve, measure: Measure = "psnr_db", *, within: Span = EVERYWHERE
) -> float | None:
    """The same for a table of many pairs, with None where there is no such number."""
    try:
        return bd_rate(anchor, test, measure, within=within)
    except UsageError:
        return None


def _checked(curve: RateCurve, measure: Measure) -> tuple[Values, Values]:
    rates, quality = curve.best(measure)
    if len(rates) < FEWEST_POINTS:
        raise UsageError(
            f"no BD-rate: {curve.name} has {len(rates)} points with rising {measure}, at least {FEWEST_POINTS} are needed"
        )
    return rates, quality


def _span(curve: RateCurve, measure: Measure, within: Span) -> Span:
    span = curve.between(*within, measure)
    if span is None:
        raise UsageError(f"no BD-rate: {curve.name} has nothing between {within[0]:g} and {within[1]:g} bits per pixel")
    return span


def _range(span: Span) -> str:
    return f"{span[0]:.2f} to {span[1]:.2f}"
