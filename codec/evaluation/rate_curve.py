"""Rate-distortion curves: points of one codec at several rates, measured here or published."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codec.errors import MediaError, UsageError
from codec.evaluation.interpolation import MonotoneCubic, Values

Measure = Literal["psnr_db", "ms_ssim", "effnet", "lpips"]


@dataclass(frozen=True)
class RatePoint:
    """Means over a set of pictures at one setting of a codec; None where a measure was not taken.

    Attributes:
        quality: the setting, on the codec's own scale; None for a codec of one rate, and where nobody tells.
    """

    bits_per_pixel: float
    psnr_db: float
    ms_ssim: float | None = None
    effnet: float | None = None
    lpips: float | None = None
    quality: int | None = None


@dataclass(frozen=True)
class RateCurve:
    """The points of one codec, in any order."""

    name: str
    points: tuple[RatePoint, ...]

    def series(self, measure: Measure) -> tuple[Values, Values]:
        """Bits per pixel, rising, and the quality at each, as `quality_of` counts it."""
        known = ((p.bits_per_pixel, quality_of(p, measure)) for p in self.points)
        pairs = np.array(sorted((rate, q) for rate, q in known if q is not None and math.isfinite(q)), np.float64)
        return pairs.reshape(-1, 2)[:, 0], pairs.reshape(-1, 2)[:, 1]

    def best(self, measure: Measure) -> tuple[Values, Values]:
        """The series without points that a cheaper one equals or beats, so that both rise strictly."""
        kept: list[tuple[float, float]] = []
        for rate, quality in sorted(zip(*self.series(measure), strict=True), key=lambda pair: (pair[0], -pair[1])):
            if not kept or quality > kept[-1][1]:
                kept.append((rate, quality))
        pairs = np.array(kept, np.float64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def quality_at(self, bits_per_pixel: float, measure: Measure = "psnr_db") -> float | None:
        """The quality between the best points, over the logarithm of the rate; None beyond them."""
        rates, qualities = self.best(measure)
        if len(rates) < 2 or not rates[0] <= bits_per_pixel <= rates[-1]:
            return None
        return float(MonotoneCubic(np.log(rates), qualities)(math.log(bits_per_pixel)))

    def between(self, low: float, high: float, measure: Measure = "psnr_db") -> tuple[float, float] | None:
        """The qualities at both ends of what the best points have within a range of bits per pixel; None if they have nothing."""
        rates, _ = self.best(measure)
        if not rates.size or rates[-1] <= low or rates[0] >= high:
            return None
        worst, finest = self.quality_at(max(low, rates[0]), measure), self.quality_at(min(high, rates[-1]), measure)
        return None if worst is None or finest is None else (worst, finest)

    def rate_at(self, quality: float, measure: Measure = "psnr_db") -> float | None:
        """Bits per pixel for a quality between the best points; None beyond them."""
        rates, qualities = self.best(measure)
        if len(rates) < 2 or not qualities[0] <= quality <= qualities[-1]:
            return None
        return float(np.exp(MonotoneCubic(qualities, np.log(rates))(quality)))


def quality_of(point: RatePoint, measure: Measure) -> float | None:
    """A measure on a scale that rises with fidelity: MS-SSIM in decibels, `-10 log10(1 - value)`; distances negated."""
    value: float | None = getattr(point, measure)
    if value is None or measure == "psnr_db":
        return value
    if measure == "ms_ssim":
        return -10 * math.log10(1 - value) if value < 1 else math.inf
    return -value


def read_published(path: Path, names: Sequence[str] = ()) -> list[RateCurve]:
    """Curves of a JSON file `{"curves": {KEY: {"name": …, "bpp": […], "psnr-rgb": […], "ms-ssim-rgb": […]}}}`.

    MS-SSIM is optional, and may stand in decibels as `ms-ssim-db-rgb`: CompressAI's format of results, many in one file.

    Args:
        names: keys of the curves wanted; all if empty.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())["curves"]
        curves = {key: RateCurve(entry["name"], _published_points(entry)) for key, entry in found.items()}
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MediaError(f"{path} is no file of published curves: {type(error).__name__} {error}") from error
    unknown = [name for name in names if name not in curves]
    if unknown:
        raise UsageError(f"{path} has no curve {', '.join(unknown)}: choose from {', '.join(curves)}")
    return [curves[name] for name in names or curves]


def _published_points(entry: dict[str, Any]) -> tuple[RatePoint, ...]:
    similarities = entry.get("ms-ssim-rgb") or [1 - 10 ** (-db / 10) for db in entry.get("ms-ssim-db-rgb", ())]
    columns = (entry["bpp"], entry["psnr-rgb"], similarities or [None] * len(entry["bpp"]))
    return tuple(RatePoint(rate, psnr, similarity) for rate, psnr, similarity in zip(*columns, strict=True))
