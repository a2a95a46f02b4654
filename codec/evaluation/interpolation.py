"""Curves through measured points that keep their order: piecewise cubic, without overshoot.

Fritsch and Butland 1984, "A method for constructing local monotone piecewise cubic interpolants", SIAM J. Sci. Stat. Comput. 5;
the ends by three points, as in the PCHIP package (Fritsch 1982) and in scipy's `PchipInterpolator`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


class MonotoneCubic:
    """Interpolates points `x`, `y` `(n,)` with `x` strictly rising and n at least 2; between two points it is monotone."""

    def __init__(self, x: ArrayLike, y: ArrayLike) -> None:
        self.x, self.y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if self.x.ndim != 1 or self.x.shape != self.y.shape or len(self.x) < 2 or not (np.diff(self.x) > 0).all():
            raise ValueError(f"expected at least two points with x strictly rising, got x = {self.x} and y = {self.y}")
        self.slopes = _slopes(np.diff(self.x), np.diff(self.y) / np.diff(self.x))

    def __call__(self, at: ArrayLike) -> Values:
        """Values at positions within `x[0]..x[-1]`, of any shape."""
        position = np.asarray(at, np.float64)
        left = np.clip(np.searchsorted(self.x, position, "right") - 1, 0, len(self.x) - 2)
        width = self.x[left + 1] - self.x[left]
        t = (position - self.x[left]) / width
        start = self.y[left] * (1 + 2 * t) * (1 - t) ** 2 + self.slopes[left] * width * t * (1 - t) ** 2
        end = self.y[left + 1] * t**2 * (3 - 2 * t) - self.slopes[left + 1] * width * t**2 * (1 - t)
        return np.asarray(start + end)

    def mean(self, low: float, high: float) -> float:
        """Average over `low..high`; by Simpson's rule for each piece, which is exact for cubics."""
        inner = self.x[(self.x > low) & (self.x < high)]
        edges = np.concatenate([[low], inner, [high]])
        values = self(edges), self((edges[:-1] + edges[1:]) / 2)
        integral = np.diff(edges) * (values[0][:-1] + 4 * values[1] + values[0][1:]) / 6
        return float(integral.sum() / (high - low))


def _slopes(widths: Values, secants: Values) -> Values:
    """Derivatives at the points: between secants of one sign a weighted harmonic mean of the two, else 0."""
    if len(secants) == 1:
        return np.repeat(secants, 2)
    before, after = 2 * widths[1:] + widths[:-1], widths[1:] + 2 * widths[:-1]
    same = secants[:-1] * secants[1:] > 0
    left, right = (np.where(same, part, 1.0) for part in (secants[:-1], secants[1:]))
    inner = np.where(same, (before + after) / (before / left + after / right), 0.0)
    return np.array([_end(widths[:2], secants[:2]), *inner, _end(widths[:-3:-1], secants[:-3:-1])])


def _end(widths: Values, secants: Values) -> float:
    """The parabola through three points, held back where it would turn."""
    slope = float(((2 * widths[0] + widths[1]) * secants[0] - widths[0] * secants[1]) / widths.sum())
    if slope * secants[0] <= 0:
        return 0.0
    if secants[0] * secants[1] <= 0 and abs(slope) > 3 * abs(secants[0]):
        return 3 * float(secants[0])
    return slope
