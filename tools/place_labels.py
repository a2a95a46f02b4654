"""Names beside the marks of a plot, clear of one another: each takes the nearest free spot, the most crowded first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT_SIZE, INCH = 9.5, 72  # points
RADII = (8, 12, 17, 23, 30, 38, 47, 57, 68, 80, 95, 115, 140)  # pixels from the middle of a mark to its label
ANGLES = 24
MARK = 6  # half the side of a mark in pixels
CROWD = 6  # neighbours that say how crowded a place is
Values = NDArray[np.float64]  # boxes are left, bottom, right, top, in pixels


@dataclass(frozen=True)
class Label:
    """A name at a place of the data."""

    name: str
    place: tuple[float, float]
    colour: str


def place_labels(axes: Axes, labels: Sequence[Label], marks: Sequence[tuple[float, float]]) -> None:
    """Write the names, with a thin line to marks that are not near; the layout must be final.

    Args:
        marks: places of all marks, which no name may cover.
    """
    marked = axes.transData.transform(np.reshape(marks, (-1, 2)))
    pixels = axes.transData.transform(np.reshape([label.place for label in labels], (-1, 2)))
    distances = np.sort(np.linalg.norm(pixels[:, None] - marked, axis=-1), axis=1)
    taken = np.concatenate([marked - MARK, marked + MARK], axis=1)
    for i in np.argsort(distances[:, :CROWD].sum(1)):
        taken = np.concatenate([taken, _write(axes, labels[i], pixels[i], taken)])


def _write(axes: Axes, label: Label, mark: Values, taken: Values) -> Values:
    """One name in the best spot: its box `(1, 4)`."""
    from matplotlib.patheffects import withStroke

    written = axes.annotate(
        label.name,
        label.place,
        xytext=(0, 0),
        textcoords="offset points",
        va="bottom",
        fontsize=FONT_SIZE,
        color=label.colour,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        arrowprops={"arrowstyle": "-", "color": "#888888", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3},
        zorder=6,
    )
    boxes = _spots(mark, np.asarray(written.get_window_extent().size))
    frame = np.asarray(axes.get_window_extent().extents)
    outside = (boxes[:, :2] < frame[:2]).any(1) | (boxes[:, 2:] > frame[2:]).any(1)
    cost = np.repeat(RADII, ANGLES) + 20 * overlaps(boxes, taken).sum(1) + 1e6 * outside
    box = boxes[cost.argmin()]
    written.xyann = tuple((box[:2] - mark) * INCH / axes.get_figure(root=True).dpi)  # type: ignore[union-attr]
    return box[None]


def _spots(mark: Values, size: Values) -> Values:
    """Boxes `(S, 4)` of a size around a mark, ring by ring."""
    angles = 2 * math.pi * np.arange(ANGLES) / ANGLES
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = mark + np.multiply.outer(RADII, directions) - size * (1 - directions) / 2
    return np.concatenate([corners, corners + size], axis=-1).reshape(-1, 4)


def overlaps(a: Values, b: Values) -> Values:
    """Common areas `(N, M)` of boxes `(N, 4)` and `(M, 4)`."""
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    return np.asarray(sides.clip(0).prod(-1))
