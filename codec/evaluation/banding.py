"""Banding: smooth shades that a codec breaks into steps.

After the idea of Zheng et al. 2025, "CBAND" (blind quality of banded video), but a detector of classical features of its own: it
looks for steps between flat runs, in rows and columns, where the original has next to no gradient.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.evaluation.luma import LUMA_FLOOR, LUMA_SPAN, luma_levels

WINDOW = 32  # pixels over which the gradient of the original is averaged
FLAT_GRADIENT = 2.0  # levels a pixel
RUN = 8  # equal pixels on both sides of a step
LARGEST_STEP = 8  # levels: what 5 bits leave of 8; more would be an edge
DISPLAY_GAMMA, FLARE = 2.2, 0.005  # light of a display, with what a room adds to it, relative to white
VISIBLE_CONTRAST = 0.01  # Weber's, at which a step counts half


@dataclass(frozen=True)
class Banding:
    """Length of visible steps in pixels over the area of flat regions in pixels; None where nothing is flat.

    A coarser shade has fewer steps that are higher, which may come to less: steps of more than 8 levels are edges.

    Attributes:
        decoded: of the decoded picture or video.
        original: of the original, in the same regions.
    """

    decoded: float | None
    original: float | None


class BandingMeter:
    """Frames in, one pair at a time; lengths and areas are summed before they are divided."""

    def __init__(self) -> None:
        self._area, self._decoded, self._original = 0, 0.0, 0.0

    def add(self, original: Tensor, decoded: Tensor) -> None:
        """The next frame, uint8 `(3, H, W)`."""
        reference, found = luma_levels(original), luma_levels(decoded)
        flat = flat_regions(reference)
        self._area += int(flat.sum())
        self._decoded += step_length(found, flat)
        self._original += step_length(reference, flat)

    def result(self) -> Banding:
        """Over the frames so far."""
        if not self._area:
            return Banding(None, None)
        return Banding(self._decoded / self._area, self._original / self._area)


def banding_index(original: Tensor, decoded: Tensor) -> Banding:
    """Of one picture, uint8 `(3, H, W)`."""
    meter = BandingMeter()
    meter.add(original, decoded)
    return meter.result()


def flat_regions(luma: Tensor) -> Tensor:
    """uint8 `(H, W)` to bool: where the gradient is small, on average over a window cut at the borders."""
    levels = luma.float()
    down = F.pad(levels.diff(dim=0), (0, 0, 0, 1))
    right = F.pad(levels.diff(dim=1), (0, 1))
    return _window_mean(_window_mean(torch.hypot(down, right)).T).T < FLAT_GRADIENT


def step_length(luma: Tensor, flat: Tensor) -> float:
    """The visible length of isolated steps of uint8 `(H, W)` in flat regions, along both axes, in pixels."""
    return _weighted_steps(luma, flat) + _weighted_steps(luma.T, flat.T)


def _weighted_steps(luma: Tensor, flat: Tensor) -> float:
    """Steps between neighbours in a row, each with a weight in [0, 1] that rises with its contrast."""
    steps = luma.short().diff(dim=1).abs()
    here = flat & _has_no_neighbour(luma.T).T
    isolated = (steps >= 1) & (steps <= LARGEST_STEP) & here[:, :-1] & here[:, 1:] & _between_runs(steps == 0)
    rows, columns = isolated.nonzero(as_tuple=True)
    light = ((luma.float() - LUMA_FLOOR) / LUMA_SPAN).clamp(0, 1) ** DISPLAY_GAMMA + FLARE
    before, after = light[rows, columns], light[rows, columns + 1]
    contrast = (before - after).abs() / torch.minimum(before, after)
    return float((contrast / (contrast + VISIBLE_CONTRAST)).double().sum())


def _between_runs(equal: Tensor) -> Tensor:
    """Places of bool `(H, W - 1)`, equal neighbours or not, with a run of `RUN` equal pixels on either side."""
    needed = RUN - 1
    if equal.shape[1] <= 2 * needed:
        return torch.zeros_like(equal)
    runs = equal.unfold(1, needed, 1).all(-1)
    return F.pad(runs[:, : -needed - 1] & runs[:, needed + 1 :], (needed, needed))


def _has_no_neighbour(luma: Tensor) -> Tensor:
    """Pixels `(H, W)` with at most one step among the `RUN` pixels of their row on either side.

    The lines of a slanted shade are far apart on the axis along which it hardly changes: they are close on the other one.
    """
    steps = (luma.short().diff(dim=1) != 0).int()
    return F.pad(steps, (RUN, RUN - 1)).unfold(1, 2 * RUN - 1, 1).sum(-1) <= 1


def _window_mean(values: Tensor) -> Tensor:
    """The mean along rows `(H, W)` over `WINDOW` columns around each."""
    means = F.avg_pool1d(values, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)
    return means[:, : values.shape[1]]
