"""Results as JSON, for programs."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from codec.evaluation.curves import CurveComparison, CurveReport, PointComparison
from codec.evaluation.rate_curve import RatePoint
from codec.evaluation.table import CodecSummary, ImageResult, summarise
from codec.media.files import whole_file

Row = ImageResult | CodecSummary | RatePoint | CurveComparison | PointComparison


def to_json(rows: Sequence[ImageResult], path: Path, report: CurveReport | None = None) -> None:
    """Write `{"means": [...], "images": [...]}`, one object a row; with a report also `curves`, `bd_rates` and `gains`.

    An infinite PSNR is the string `"inf"`; what was not measured, or lies beyond a curve's ends, is null.
    """
    content: dict[str, object] = {"means": _plain(summarise(rows)), "images": _plain(rows)}
    if report is not None:
        curves = (*report.curves, *report.model_curves)
        content["curves"] = [{"name": curve.name, "points": _plain(curve.points)} for curve in curves]
        content |= {"bd_rates": _plain(report.bd_rates), "gains": _plain(report.gains)}
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")


def _plain(rows: Sequence[Row]) -> list[dict[str, object]]:
    return [{name: "inf" if value == math.inf else value for name, value in asdict(row).items()} for row in rows]
