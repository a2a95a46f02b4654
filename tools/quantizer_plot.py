"""Quality of every quantizer over what its codes cost: a labelled mark a row, lines through the sizes of one method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from benchmark_quantizers import STRIDE
from numpy.typing import NDArray
from place_labels import Label, place_labels
from quantizer_results import MAIN_BITS, Row, family_of, reference_curve

from codec.errors import UsageError
from codec.evaluation.plot import PALETTE, check_plot, is_svg
from codec.evaluation.rate_curve import Measure, quality_of
from codec.media.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "one table": PALETTE[0],
    "one table behind a map": PALETTE[2],
    "no table": "#d55e00",
    "several codes a position": "#a64d79",
    "a grid of codes": "#333333",
}
MARKS = ("o", "D", "v", "^", "s", "P")  # by nominal bits: `MAIN_BITS` first, then rising
PANELS: dict[Measure, str] = {"psnr_db": "PSNR (dB, RGB)", "ms_ssim": "MS-SSIM (dB)"}
FAR = 2.0  # times the distance between the quartiles, beyond which a row is left to the lower panels


def plot_quantizers(path: Path, rows: Sequence[Row]) -> None:
    """Above the rows of `MAIN_BITS` that lie together, below all rows at all sizes; PNG or SVG by the suffix."""
    check_plot(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    close = together([row for row in rows if row.bits == MAIN_BITS])
    ends = [row for row in last_sizes(rows) if row not in close]
    with rc_context({"svg.hashsalt": "codec", "font.size": 10}):
        figure = Figure(figsize=(13, 12), dpi=100, layout="constrained")
        panels = list(zip(figure.subplots(2, 2), ((close, close), (rows, ends)), strict=True))
        for (line, (shown, _)), title in zip(panels, (f"at {MAIN_BITS} nominal bits", "at all sizes"), strict=True):
            for axes, measure in zip(line, PANELS, strict=True):
                draw_points(axes, shown, measure)
                axes.set_title(title)
        for axes, measure in zip(panels[0][0], PANELS, strict=True):
            draw_reference(axes, rows, measure)
        add_legend(figure, rows)
        figure.draw_without_rendering()  # fixes the layout: labels are placed in pixels
        for line, (shown, labelled) in panels:
            for axes, measure in zip(line, PANELS, strict=True):
                places = [place_of(row, measure) for row in shown]
                place_labels(axes, [label_of(row, measure) for row in labelled], places)
        with whole_file(path) as file:
            figure.savefig(file, format=path.suffix[1:].lower(), metadata={"Date": None} if is_svg(path) else None)


def place_of(row: Row, measure: Measure) -> tuple[float, float]:
    """Coded bits a position, and quality."""
    quality = quality_of(row.point, measure)
    if quality is None:
        raise UsageError(f"{row.name} at {row.bits} bits has no {measure}")
    return row.mean("coded_bits"), quality


def label_of(row: Row, measure: Measure) -> Label:
    """The row's name at its mark."""
    return Label(row.name, place_of(row, measure), COLOURS[family_of(row.name)])


def together(rows: Sequence[Row]) -> list[Row]:
    """The rows without those whose bits or quality are far below the others'."""
    if not rows:
        return []
    places = np.array([place_of(row, measure) for measure in PANELS for row in rows]).reshape(len(PANELS), len(rows), 2)
    low, high = np.quantile(places, [0.25, 0.75], axis=1)
    near = (places >= (low - FAR * (high - low))[:, None]).all((0, 2))
    return [row for row, kept in zip(rows, near, strict=True) if kept]


def last_sizes(rows: Sequence[Row]) -> list[Row]:
    """Each method at the most nominal bits that it has."""
    return list({row.name: row for row in sorted(rows, key=lambda row: row.bits)}.values())


def draw_points(axes: Axes, rows: Sequence[Row], measure: Measure) -> None:
    """Marks, and lines through the sizes of each method."""
    sizes = marks_of(rows)
    for name in dict.fromkeys(row.name for row in rows):
        own = sorted((row for row in rows if row.name == name), key=lambda row: row.bits)
        colour, places = COLOURS[family_of(name)], [place_of(row, measure) for row in own]
        axes.plot(*zip(*places, strict=True), color=colour, linewidth=1, alpha=0.5, zorder=2)
        for row, place in zip(own, places, strict=True):
            axes.plot(*place, sizes[row.bits], color=colour, markersize=7, markeredgecolor="white", zorder=4)
    axes.set(xlabel=f"coded bits a position ({STRIDE}x{STRIDE} pixels)", ylabel=PANELS[measure])
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.margins(0.12)
    axes.spines[["top", "right"]].set_visible(False)


def draw_reference(axes: Axes, rows: Sequence[Row], measure: Measure) -> None:
    """The curve of FSQ, where it crosses the panel; the panel keeps its limits."""
    curve = reference_curve(rows)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    bits: NDArray[np.float64] = np.linspace(left, right, 200)
    found = [(at, curve.quality_at(at / STRIDE**2, measure)) for at in bits.tolist()]
    points = [(at, quality) for at, quality in found if quality is not None]
    if points:
        axes.plot(*zip(*points, strict=True), color="#999999", linestyle="--", linewidth=1, zorder=1)
        axes.set(xlim=(left, right), ylim=(bottom, top))


def marks_of(rows: Sequence[Row]) -> dict[int, str]:
    """A mark for each size."""
    sizes = sorted({row.bits for row in rows}, key=lambda bits: (bits != MAIN_BITS, bits))
    return dict(zip(sizes, MARKS, strict=False))


def add_legend(figure: Figure, rows: Sequence[Row]) -> None:
    """Colours are families, marks are nominal bits."""
    from matplotlib.lines import Line2D

    there = {family_of(row.name) for row in rows}
    kinds = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=name)
        for name, colour in COLOURS.items()
        if name in there
    ]
    marks = [
        Line2D([], [], marker=mark, linestyle="", color="#666666", label=f"{bits} nominal bits")
        for bits, mark in sorted(marks_of(rows).items())
    ]
    if len(reference_curve(rows).points) > 1:
        marks.append(Line2D([], [], color="#999999", linestyle="--", label="curve of FSQ"))
    figure.legend(handles=[*kinds, *marks], loc="outside lower center", ncols=5, frameon=False, fontsize=11)
