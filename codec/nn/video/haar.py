"""Haar wavelet packets of blocks of frames: a group of frames of 8x8 pixels becomes one position with all their bands.

As in the Cosmos tokenizer (NVIDIA 2025, arXiv:2501.03575) every band is split again, so that the packet of a block of n samples
along an axis is a Walsh-Hadamard transform of them. It is orthonormal, of what frames differ from mid-grey by: networks that see and
write bands then train as they do on pixels, no band drowns the others and no step of a band is sixteen of a pixel.
"""

from functools import cache

import torch
from einops import rearrange
from torch import Tensor

SIDE = 8  # pixels of a block
GREY = 0.5  # where bands are zero


@cache
def haar_packet(size: int) -> Tensor:
    """`(size, size)`, a power of two, orthonormal: rows are bands, that of the mean first."""
    if size == 1:
        return torch.ones(1, 1)
    half = haar_packet(size // 2)
    sums, differences = (torch.kron(half, torch.tensor([[1.0, sign]])) for sign in (1.0, -1.0))
    return torch.cat([sums, differences]) / 2**0.5


def to_bands(frames: Tensor, group: int) -> Tensor:
    """Frames `(B, C, G group, H, W)` in [0, 1] to bands `(B, G, 64 C group, H / 8, W / 8)`, colour by colour."""
    blocks = rearrange(frames - GREY, "b c (g t) (h i) (w j) -> b g c h w t i j", t=group, i=SIDE, j=SIDE)
    time, space = haar_packet(group).to(blocks), haar_packet(SIDE).to(blocks)
    blocks = torch.einsum("bgchwtij,kt->bgchwkij", blocks, time)
    blocks = torch.einsum("bgchwkij,li,mj->bgchwklm", blocks, space, space)
    return rearrange(blocks, "b g c h w k l m -> b g (c k l m) h w")


def from_bands(bands: Tensor, group: int) -> Tensor:
    """The way back."""
    blocks = rearrange(bands, "b g (c k l m) h w -> b g c h w k l m", k=group, l=SIDE, m=SIDE)
    time, space = haar_packet(group).to(blocks), haar_packet(SIDE).to(blocks)
    blocks = torch.einsum("bgchwklm,li,mj->bgchwkij", blocks, space, space)
    blocks = torch.einsum("bgchwkij,kt->bgchwtij", blocks, time)
    return rearrange(blocks, "b g c h w t i j -> b c (g t) (h i) (w j)") + GREY


def grouped(frames: Tensor, group: int) -> Tensor:
    """Frames `(B, C, T, H, W)` whose first is repeated to a group of its own, and whose last to fill up the last group."""
    first = frames[:, :, :1].expand(-1, -1, group - 1, -1, -1)
    missing = -(frames.shape[2] - 1) % group
    last = frames[:, :, -1:].expand(-1, -1, missing, -1, -1)
    return torch.cat([first, frames, last], 2)
