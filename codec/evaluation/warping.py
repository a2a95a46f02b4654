"""How steadily a decoded video follows the motion of its original, frame to frame.

Lai et al. 2018, "Learning Blind Video Temporal Consistency", arXiv:1808.00449, with the check of occlusion of Ruder et al. 2016,
"Artistic style transfer for videos", arXiv:1604.08610; the motion is that of blocks here, and no network's.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from codec.evaluation.block_matching import BLOCK, Motion, Pixels, match_blocks
from codec.evaluation.luma import luma_levels

RELATIVE, ABSOLUTE = 0.01, 0.5  # of the check: how far motion there and back may miss, in squared pixels


@dataclass(frozen=True)
class WarpingError:
    """Mean squared differences of frames and their moved successors, full scale 1; None where nothing could be followed.

    Attributes:
        decoded: of the decoded video.
        original: of the original with the same motion, which is not 0 either: real things change as they move.
    """

    decoded: float | None
    original: float | None


class WarpingMeter:
    """Frames in, one pair at a time, and the mean over pairs of neighbours out.

    The error of a pair is the mean over channels and over the pixels that can be seen in both frames. A pair without any, such
    as at a cut, does not count.
    """

    def __init__(self) -> None:
        self._before: tuple[Pixels, Pixels, Pixels] | None = None  # luma of the original, original, decoded
        self._sums, self._pairs = np.zeros(2), 0

    def add(self, original: Tensor, decoded: Tensor) -> None:
        """The next frame, uint8 `(3, H, W)`; those with a side below 8 pixels are not followed."""
        if min(original.shape[1:]) < BLOCK:
            return
        after = luma_levels(original).numpy(), original.contiguous().numpy(), decoded.contiguous().numpy()
        if self._before is not None:
            forward, backward = match_blocks(self._before[0], after[0]), match_blocks(after[0], self._before[0])
            seen = visible(forward, backward, original.shape[1], original.shape[2])
            if seen.any():
                errors = [_error(self._before[i], after[i], forward, seen) for i in (2, 1)]
                self._sums, self._pairs = self._sums + errors, self._pairs + 1
        self._before = after

    def result(self) -> WarpingError:
        """Means over the pairs so far."""
        if not self._pairs:
            return WarpingError(None, None)
        decoded, original = self._sums / self._pairs
        return WarpingError(float(decoded), float(original))


@njit(cache=True, nogil=True)
def visible(forward: Motion, backward: Motion, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels `(H, W)` of a frame whose motion, there and back, ends about where it began."""
    seen = np.zeros((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            down, right = forward[y // BLOCK, x // BLOCK]
            v, u = y + down, x + right
            if 0 <= v < height and 0 <= u < width:
                up, left = backward[v // BLOCK, u // BLOCK]
                miss = (down + up) ** 2 + (right + left) ** 2
                seen[y, x] = miss <= RELATIVE * (down**2 + right**2 + up**2 + left**2) + ABSOLUTE
    return seen


@njit(cache=True, nogil=True)
def _error(now: Pixels, after: Pixels, forward: Motion, seen: NDArray[np.bool_]) -> float:
    """The mean over channels and visible pixels of `(now - after moved back)^2`, at full scale 1."""
    total = count = 0
    for y in range(seen.shape[0]):
        for x in range(seen.shape[1]):
            if seen[y, x]:
                down, right = forward[y // BLOCK, x // BLOCK]
                count += now.shape[0]
                for c in range(now.shape[0]):
                    total += int(np.int64(now[c, y, x]) - np.int64(after[c, y + down, x + right])) ** 2
    return total / (count * 255.0**2)
