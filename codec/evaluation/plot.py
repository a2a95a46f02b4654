"""Rate-distortion plots."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codec.errors import UsageError
from codec.evaluation.rate_curve import Measure, RateCurve, RatePoint, quality_of
from codec.media.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT_SUFFIXES = (".png", ".svg")
# Okabe and Ito's colours, told apart by colour-blind eyes
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#8c564b")
PALE = ("#8c8c8c", "#b5854b", "#7a9e7e", "#9c7fb5", "#6b8fb3", "#c48a8a", "#a0a03c")
DASHES = ("--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
MODEL_COLOURS = ("#d62728", "#7b1fa2", "#111111", "#ff7f0e")
MODEL_MARKS = (("*", 15), ("D", 8), ("P", 10), ("X", 10))  # with their sizes
SHOWN = (0.03, 1.5)  # bits per pixel at most, from what a tokenizer spends to where differences are hard to see
MARGIN = 0.88  # left of the cheapest point
TICKS = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)
AXES: dict[Measure, str] = {
    "psnr_db": "PSNR (dB, RGB)",
    "ms_ssim": "MS-SSIM (dB)",
    "effnet": "effnet distance (negative)",
    "lpips": "LPIPS (negative)",
}


def check_plot(path: Path) -> None:
    """Raise `UsageError` where a plot cannot be drawn, before an hour of measuring."""
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise UsageError(f"a plot is written as {' or '.join(PLOT_SUFFIXES)}, got {path.name}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError("plots need the package matplotlib: pip install matplotlib (the extra `plot`)") from error


def plot_rate_distortion(
    path: Path,
    curves: Sequence[RateCurve],
    models: Sequence[tuple[str, RatePoint]] = (),
    *,
    model_curves: Sequence[RateCurve] = (),
    published: Sequence[RateCurve] = (),
    title: str = "",
) -> None:
    """Quality over bits per pixel, a panel for each measure that a curve or model has; PNG or SVG by the suffix.

    Args:
        curves: of classical codecs, measured: solid lines.
        models: names and points: large marks.
        model_curves: of models with continuous quality, measured: the thickest lines.
        published: thin broken lines, in the panels that they have values for.
    """
    check_plot(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    everything = [
        *(point for curve in (*curves, *model_curves) for point in curve.points),
        *(point for _, point in models),
    ]
    panels = [measure for measure in AXES if any(getattr(point, measure) is not None for point in everything)]
    if not panels:
        raise UsageError("there is nothing to plot: no curve and no model was measured")
    with rc_context({"svg.hashsalt": "codec", "font.size": 10}):
        figure = Figure(figsize=(5.2 * max(2, len(panels)), 6.8), dpi=100, layout="constrained")
        for measure, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
            _draw_models(axes, measure, models, model_curves)
            _draw_curves(axes, measure, curves, published)
            _dress(axes, measure)
        named = {str(line.get_label()): line for axes in figure.axes for line in axes.lines}
        note = "broken lines: as published by others" if published else None
        figure.legend(named.values(), named.keys(), title=note, loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(title)
        with whole_file(path) as file:
            figure.savefig(file, format=path.suffix[1:].lower(), metadata={"Date": None} if is_svg(path) else None)


def is_svg(path: Path) -> bool:
    """Whether the suffix asks for a vector drawing."""
    return path.suffix.lower() == ".svg"


def _draw_models(
    axes: "Axes", measure: Measure, models: Sequence[tuple[str, RatePoint]], curves: Sequence[RateCurve]
) -> None:
    for i, curve in enumerate(curves):
        colour = MODEL_COLOURS[i % len(MODEL_COLOURS)]
        axes.plot(*curve.series(measure), "o-", color=colour, linewidth=2.8, markersize=5, zorder=8, label=curve.name)
    for i, (name, point) in enumerate(models, start=len(curves)):
        (mark, size), colour = MODEL_MARKS[i % len(MODEL_MARKS)], MODEL_COLOURS[i % len(MODEL_COLOURS)]
        quality = quality_of(point, measure)
        if quality is not None and math.isfinite(quality):
            where = [point.bits_per_pixel], [quality]
            axes.plot(*where, mark, color=colour, markersize=size, markeredgecolor="white", zorder=9, label=name)


def _draw_curves(axes: "Axes", measure: Measure, curves: Sequence[RateCurve], published: Sequence[RateCurve]) -> None:
    for i, curve in enumerate(curves):
        colour = PALETTE[i % len(PALETTE)]
        axes.plot(*curve.series(measure), "o-", color=colour, linewidth=1.8, markersize=3, zorder=3, label=curve.name)
    for i, curve in enumerate(published):
        dash, colour = DASHES[i % len(DASHES)], PALE[i % len(PALE)]
        axes.plot(*curve.series(measure), color=colour, linestyle=dash, linewidth=1.3, label=curve.name)


def _dress(axes: "Axes", measure: Measure) -> None:
    """A logarithmic axis of the rates of interest, and the qualities that lie there."""
    points = np.concatenate([np.asarray(line.get_xydata(), np.float64) for line in axes.lines])
    low, high = max(SHOWN[0], MARGIN * float(points[:, 0].min(initial=math.inf))), SHOWN[1]
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high], minor=False)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.locator_params(axis="y", nbins=11)
    seen = points[(points[:, 0] >= low) & (points[:, 0] <= high), 1]
    if seen.size:
        margin = 0.04 * float(np.ptp(seen)) or 1.0
        axes.set_ylim(float(seen.min()) - margin, float(seen.max()) + margin)
    axes.set(xlabel="bits per pixel", ylabel=AXES[measure])
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
