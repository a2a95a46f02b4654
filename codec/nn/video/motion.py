"""Block motion: a vector for each block of a picture, found by an encoder, and the prediction that vectors make anywhere.

Overlapped blocks (Orchard and Sullivan 1994, "Overlapped block motion compensation: an estimation-theoretic approach") leave no
edges that a network would have to mend. All is float arithmetic on pixels: two machines agree to a rounding error.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from codec.nn.video.motion_kernels import TAPS, UNIT, coarse_search, compensate, search, smooth, spread

BLOCK, OVERLAP = 16, 8  # pixels
REACH = 32  # pixels, the farthest that a vector leads
MARGIN = REACH + BLOCK + OVERLAP + TAPS
SWEEPS = 2  # over the vectors that were found
COARSER = 4  # times, where whole neighbourhoods are compared
LUMA = (0.299, 0.587, 0.114)
Integers = NDArray[np.int64]


def motion_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the blocks of a picture."""
    return -(-height // BLOCK), -(-width // BLOCK)


class _Compensation(torch.autograd.Function):
    """Linear in the reference, so its gradient is the adjoint map."""

    @staticmethod
    def forward(context: Any, reference: Tensor, motion: Tensor) -> Tensor:
        """Padded references `(B, C, H + 2 MARGIN, W + 2 MARGIN)` and vectors `(B, 2, rows, columns)` to pictures."""
        batch, channels, height, width = reference.shape
        pictures = np.zeros((batch, channels, height - 2 * MARGIN, width - 2 * MARGIN), np.float32)
        for one, vectors, picture in zip(reference.detach().numpy(), motion.numpy(), pictures, strict=True):
            compensate(one, vectors, BLOCK, OVERLAP, MARGIN, picture)
        context.save_for_backward(motion)
        return torch.from_numpy(pictures)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The way back."""
        (motion,) = context.saved_tensors
        batch, channels, height, width = gradients[0].shape
        onto = np.zeros((batch, channels, height + 2 * MARGIN, width + 2 * MARGIN), np.float32)
        whole = gradients[0].float().contiguous().numpy()
        for one, vectors, gradient in zip(onto, motion.numpy(), whole, strict=True):
            spread(gradient, vectors, BLOCK, OVERLAP, MARGIN, one)
        return torch.from_numpy(onto), None


def predict(reference: Tensor, motion: Tensor) -> Tensor:
    """Pictures `(B, C, H, W)`, as vectors say; differentiable in the pictures.

    Args:
        reference: float `(B, C, H, W)`.
        motion: int64 `(B, 2, rows, columns)`, down and right in quarter pixels; farther ones than `REACH` count as that far.
    """
    limit = REACH * UNIT
    padded = F.pad(reference.float(), (MARGIN,) * 4, mode="replicate").contiguous().cpu()
    found: Tensor = _Compensation.apply(padded, motion.clamp(-limit, limit).cpu().contiguous())
    return found.to(reference.device)


def find_motion(current: Tensor, reference: Tensor, price: float, past: Tensor | None = None) -> Tensor:
    """The vectors int64 `(2, rows, columns)` that make a picture of another, in quarter pixels.

    Args:
        current: float `(3, H, W)` in [0, 1].
        reference: likewise.
        price: absolute luma difference, full scale 255, summed over a block, that one bit of a vector is worth.
        past: the vectors of the last frame, shaped as the result.
    """
    own, other = (_luma(picture) for picture in (current, reference))
    grid = motion_grid(*own.shape)
    coarse = np.zeros((2, *grid), np.int64)
    small_own, small_other = (_smaller(luma) for luma in (own, other))
    reach, block = REACH // COARSER, BLOCK // COARSER
    coarse_search(small_own, _padded(small_other, reach + 2 * block), block, reach, reach + 2 * block, coarse)
    before = np.zeros((0, 2, *grid), np.int64) if past is None else past[None].numpy()
    tried = np.concatenate([(coarse * (COARSER * UNIT))[None], before])
    motion, padded = np.zeros((2, *grid), np.int64), _padded(other, MARGIN)
    search(own, padded, BLOCK, REACH, MARGIN, price, tried, motion)
    for _ in range(SWEEPS):
        smooth(own, padded, BLOCK, MARGIN, price, before, motion)
    return torch.from_numpy(motion)


def _luma(picture: Tensor) -> NDArray[np.float32]:
    weights = picture.new_tensor(LUMA).view(3, 1, 1) * 255
    return (picture.detach().float() * weights).sum(0).cpu().contiguous().numpy()


def _smaller(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of squares; what is missing at the end repeats the last row and column."""
    height, width = luma.shape
    whole = F.pad(torch.from_numpy(luma)[None, None], (0, -width % COARSER, 0, -height % COARSER), mode="replicate")
    return F.avg_pool2d(whole, COARSER)[0, 0].numpy()


def _padded(luma: NDArray[np.float32], margin: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.pad(luma, margin, mode="edge"))
