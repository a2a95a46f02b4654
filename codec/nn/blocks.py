"""Blocks that work at low resolution, with a finite receptive field: all spatial mixing is depthwise convolution."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Module = TypeVar("Module", bound=nn.Module)


def channels_last(module: Module) -> Module:
    """The module with its weights in the layout in which CPU convolutions are fastest."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def start_at_zero(layer: nn.Conv2d) -> None:
    """Let a convolution add nothing at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each position: unlike group norm it sees no other position, so tiles stay exact."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same."""
        rows = x.permute(0, 2, 3, 1)
        return F.layer_norm(rows, rows.shape[-1:], self.weight, self.bias).permute(0, 3, 1, 2)


class ConvBlock(nn.Module):
    """Residual block: depthwise convolution, norm, pointwise to twice the width, GELU, pointwise back, the last from zero.

    Liu et al. 2022 (ConvNeXt), arXiv:2201.03545, with a small kernel. Receptive field: `kernel // 2` positions each way.
    """

    def __init__(self, width: int, expansion: int = 2, kernel: int = 3) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, padding_mode="replicate")
        self.norm = ChannelNorm(width)
        self.expand = nn.Conv2d(width, expansion * width, 1)
        self.contract = nn.Conv2d(expansion * width, width, 1)
        start_at_zero(self.contract)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, H, W)` to the same."""
        return x + self.contract(F.gelu(self.expand(self.norm(self.spatial(x)))))
