"""Blocks at the rate of frames: all mixing in time is causal depthwise convolution."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.sound.causal import TimeMixing


class FrameBlock(TimeMixing):
    """Residual block: causal depthwise convolution, norm, pointwise to more channels, GELU, pointwise back, scaled.

    Liu et al. 2022 (ConvNeXt), arXiv:2201.03545, over time as in Siuzdak 2023 (Vocos), arXiv:2306.00814. The norm is over the
    channels of a frame, so that no frame sees another.

    Args:
        width: channels of both sides.
        kernel: frames that it sees, its own the last.
        expansion: times as many channels between the pointwise layers.
        scale: of what is added, at first; learned for each channel.
    """

    def __init__(self, width: int, *, kernel: int, expansion: int, scale: float) -> None:
        super().__init__()
        self.padding = kernel - 1
        self.temporal = nn.Conv1d(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, expansion * width)
        self.contract = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def first_input(self, position: int) -> int:
        return position - self.padding

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, T)` to the same."""
        rows = self.norm(self.temporal(F.pad(x, (self.padding, 0))).transpose(1, 2))
        return x + (self.scale * self.contract(F.gelu(self.expand(rows)))).transpose(1, 2)


def frame_blocks(width: int, depth: int, *, kernel: int, expansion: int) -> list[nn.Module]:
    """One after another, each adding its share."""
    return [FrameBlock(width, kernel=kernel, expansion=expansion, scale=1 / depth) for _ in range(depth)]
