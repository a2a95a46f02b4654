"""Which gain each frame of a video gets: a quality with a structure in time, or what a bit rate allows."""

import math
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from torch import Tensor
from torch.nn import functional as F

from codec.entropy.levels import FINEST

OCTAVES = 6.0  # from the coarsest gain to the finest the bits of a frame grow about so many times twofold
MOST_CHANGE = 64  # of the gain from one frame to the next of its kind
WINDOW_SECONDS = 1.0  # over which a frame that took too much is made up for
INTRA_SHARE = 6.0  # bits of an intra frame to those of another, before any was coded
SMOOTHING = 0.5
CUT, LEAST_CUT, REMEMBERED = 3.0, 0.03, 16  # a change so many times the usual one, and at least this, is a cut


@dataclass(frozen=True)
class Structure:
    """How quality changes in time: a good frame serves those after it (as of DCVC-RT: Jia et al. 2025, arXiv:2502.20762).

    Attributes:
        period: frames from one intra frame to the next, at most.
        intra: gain indices that an intra frame has more.
        pattern: gain indices more or less of the frames after it, again and again.
    """

    period: int = 96
    intra: int = 300
    pattern: tuple[int, ...] = (0, 48, 0, 80)

    def offset(self, since_intra: int) -> int:
        """Of the frame that is so far from the last intra frame."""
        return self.intra if since_intra == 0 else self.pattern[(since_intra - 1) % len(self.pattern)]


class RateControl(Protocol):
    """Gives a gain to each frame."""

    def gain(self, offset: int, *, intra: bool) -> int:
        """Of the next frame."""

    def spent(self, bits: float, *, intra: bool) -> None:
        """What it took."""


class ConstantQuality:
    """The same for all frames but for their offsets.

    Args:
        gain: index.
    """

    def __init__(self, gain: int) -> None:
        self._gain = gain

    def gain(self, offset: int, *, intra: bool) -> int:
        """As asked."""
        return min(FINEST, max(0, self._gain + offset))

    def spent(self, bits: float, *, intra: bool) -> None:
        """Nothing to learn."""


class ConstantBitrate:
    """A leaky bucket: a frame gets its share of what is left, by a model R = a 2^(gain octaves) for each kind of frame.

    Args:
        bits_a_frame: on average.
        rate: frames a second.
        period: frames from one intra frame to the next.
        gain: index with which to begin.
    """

    def __init__(self, bits_a_frame: float, rate: float, period: int, gain: int) -> None:
        self._target, self._window, self._period = bits_a_frame, max(4.0, WINDOW_SECONDS * rate), period
        self._surplus = 0.0
        self._gains = {True: gain, False: gain}
        self._log_scale: dict[bool, float | None] = {True: None, False: None}

    def gain(self, offset: int, *, intra: bool) -> int:
        """Of the next frame; offsets are left to the model, which sees what each kind takes."""
        scale = self._log_scale[intra]
        if scale is None:
            other = self._log_scale[not intra]
            if other is None:
                return self._gains[intra]
            scale = other + (math.log2(INTRA_SHARE) if intra else -math.log2(INTRA_SHARE))
        share = INTRA_SHARE if intra else 1.0
        mean = (INTRA_SHARE + self._period - 1) / self._period
        budget = max(0.1 * self._target, self._target * share / mean + self._surplus / self._window)
        wanted = (math.log2(budget) - scale) * FINEST / OCTAVES
        before = self._gains[intra]
        known = self._log_scale[intra] is not None
        change = max(-MOST_CHANGE, min(MOST_CHANGE, wanted - before)) if known else wanted - before
        self._gains[intra] = round(min(FINEST, max(0, before + change)))
        return self._gains[intra]

    def spent(self, bits: float, *, intra: bool) -> None:
        """Learn from the last frame."""
        self._surplus += self._target - bits
        found = math.log2(max(1.0, bits)) - self._gains[intra] * OCTAVES / FINEST
        before = self._log_scale[intra]
        self._log_scale[intra] = found if before is None else before + SMOOTHING * (found - before)


class CutDetector:
    """Finds where a scene ends: where a small copy of the picture changes much more than of late."""

    def __init__(self) -> None:
        self._last: Tensor | None = None
        self._changes: list[float] = []

    def is_cut(self, frame: Tensor) -> bool:
        """Whether a frame uint8 `(3, H, W)` begins a scene; the first one does not count."""
        small = F.avg_pool2d(frame[None].float() / 255, min(8, *frame.shape[1:]))
        last, self._last = self._last, small
        if last is None:
            return False
        change = float((small - last).abs().mean())
        usual = median(self._changes) if self._changes else change
        self._changes = [*self._changes, change][-REMEMBERED:]
        cut = change > max(LEAST_CUT, CUT * usual) and len(self._changes) > 1
        if cut:
            self._changes = []
        return cut


def share_of_sound(bitrate: float) -> float:
    """Bits a second of a file's that its sound may take: an eighth, up to 24 000."""
    return min(24_000.0, bitrate / 8)
