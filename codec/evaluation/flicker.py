"""Flicker: how much a decoded video changes where its original stands still."""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.evaluation.luma import luma_levels

STILL = 1.0  # squared levels of luma: what varies less over time is noise of the camera


@dataclass(frozen=True)
class Flicker:
    """Variances over time of luma, in squared levels, as means over the pixels where that of the original is below 1.

    Attributes:
        decoded: of the decoded video; None where nothing stands still, and of less than two frames.
        original: of the original in the same places.
    """

    decoded: float | None
    original: float | None


class FlickerMeter:
    """Frames in, one pair at a time; only sums are kept, of integers, and so exact."""

    def __init__(self) -> None:
        self._frames = 0
        self._sums = self._squares = torch.zeros(0)

    def add(self, original: Tensor, decoded: Tensor) -> None:
        """The next frame, uint8 `(3, H, W)`."""
        levels = torch.stack([luma_levels(original), luma_levels(decoded)]).long()
        if not self._frames:
            self._sums = self._squares = torch.zeros_like(levels)
        self._sums, self._squares = self._sums + levels, self._squares + levels.square()
        self._frames += 1

    def result(self) -> Flicker:
        """Over the frames so far."""
        if self._frames < 2:
            return Flicker(None, None)
        original, decoded = (self._frames * self._squares - self._sums.square()).double() / self._frames**2
        still = original < STILL
        if not still.any():
            return Flicker(None, None)
        return Flicker(float(decoded[still].mean()), float(original[still].mean()))
