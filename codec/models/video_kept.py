"""Blocks of a frame of video that stay as they were predicted: which are better kept, and what the prior of their flags sees.

What codes add to a block that stands still is mostly noise, and a synthesis that adds it from frame to frame drifts; H.264 has its
skipped blocks for the same reason.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.entropy.levels import FINEST
from codec.nn.video.motion import BLOCK

BLOCK_POSITIONS = 2  # of a latent for one block of motion
LARGE = 192  # of a latent in 1/256: there is something to add to the prediction
BESIDE = 7  # planes that the prior of flags sees
# The next four were found in trials.
STILL = 1.03  # times the errors of decoding that a kept block may have where nothing moves: it does not drift
MOVING = 0.9  # where it does: block by block, frame by frame, prediction blurs, and what is decoded does not
CHANGE_BITS = 1.0  # about what a flag costs that differs from the last frame's
EDGE_BITS = 0.7  # or from a neighbour's
SWEEPS = 3  # over the flags


def kept_blocks(
    x: Tensor, decoded: Tensor, prediction: Tensor, price: Tensor, motion: Tensor, before: Tensor | None
) -> Tensor:
    """Which blocks of frames are better kept: int64 `(B, rows, columns)`, 1 where keeping one costs less.

    Costs are squared errors, and bits where a flag differs from its neighbours or from the frame before; the least is found
    by iterated conditional modes (Besag 1986, "On the statistical analysis of dirty pictures").

    Args:
        x: pictures `(B, 3, H, W)` in [0, 1], as the next two.
        decoded: what codes make of the prediction.
        prediction: what a kept block is.
        price: `(B,)`, bits a pixel that a squared error of 1, full scale 255, is worth.
        motion: int64 `(B, 2, rows, columns)`, the vectors of the prediction.
        before: the flags of the last frame `(B, rows, columns)`; None if it had none.
    """
    of_kept, of_decoded = (
        F.avg_pool2d((picture - x).square().mean(1, keepdim=True) * 255**2, BLOCK, ceil_mode=True)[:, 0]
        for picture in (prediction, decoded)
    )
    allowed = torch.where((motion != 0).any(1), MOVING, STILL)
    saved = (allowed * of_decoded - of_kept) * price.to(x)[:, None, None] * BLOCK**2
    if before is not None:
        saved = saved + (2 * before - 1) * CHANGE_BITS
    kept = (saved > 0).to(saved)
    first = (torch.arange(kept.shape[1])[:, None] + torch.arange(kept.shape[2])).to(kept.device) % 2 == 0
    cross = kept.new_tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]])[None, None] * EDGE_BITS
    for sweep in range(2 * SWEEPS):
        around = F.conv2d(2 * kept[:, None] - 1, cross, padding=1)[:, 0]
        kept = torch.where(first == (sweep % 2 == 0), (saved + around > 0).to(kept), kept)
    return kept.long()


def with_kept(kept: Tensor, prediction: Tensor, decoded: Tensor) -> Tensor:
    """Pictures `(B, 3, H, W)` whose kept blocks `(B, rows, columns)` are those of the prediction."""
    pixels = kept.repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)[
        :, None, : decoded.shape[2], : decoded.shape[3]
    ]
    return torch.where(pixels > 0, prediction, decoded)


def beside_kept(large: Tensor, motion: Tensor, before: Tensor | None, gain: Tensor) -> Tensor:
    """What every decoder has of the blocks of a frame when it reads their flags: int64 `(B, 7, rows, columns)` in 1/256.

    Args:
        large: int64 `(B, h, w)`, how many latents of each position are `LARGE`.
        motion: int64 `(B, 2, rows, columns)`.
        before: the flags of the last frame `(B, rows, columns)`; None if it had none.
        gain: int64 `(B,)`, the index of each.
    """
    rows, columns = motion.shape[2:]
    padded = F.pad(large, (0, BLOCK_POSITIONS * columns - large.shape[2], 0, BLOCK_POSITIONS * rows - large.shape[1]))
    count = padded.unflatten(1, (rows, BLOCK_POSITIONS)).unflatten(3, (columns, BLOCK_POSITIONS)).sum((2, 4))
    there = torch.full_like(count, 256 if before is not None else 0)
    last = torch.zeros_like(count) if before is None else (2 * before - 1) * 256
    level = (gain * 256 // FINEST)[:, None, None].expand_as(count)
    moves = (motion != 0).any(1).long() * 256
    return torch.stack(
        [last, there, count.clamp_max(1) * 256, count.clamp_max(8) * 32, count.clamp_max(64) * 4, moves, level], 1
    )
