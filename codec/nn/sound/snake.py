"""A periodic activation: a line with ripples, which continues a pitch where a rectifier would bend it.

Ziyin, Hartwig, Ueda 2020, "Neural networks fail to learn periodic functions and how to fix it", arXiv:2006.08195; in codecs
since Kumar et al. 2023 (DAC), arXiv:2306.06546.
"""

import torch
from torch import Tensor, nn


class Snake(nn.Module):
    """x + sin^2(a x) / a with a learned for each channel, as its logarithm: it stays positive (BigVGAN, arXiv:2206.04658).

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_alpha = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, T)` to the same."""
        alpha = self.log_alpha.exp()
        return x + (x * alpha.to(x.dtype)).sin().square() * alpha.reciprocal().to(x.dtype)
