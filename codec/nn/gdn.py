"""Generalised divisive normalisation: each channel divided by the root of a learned sum of all channels' squares.

Ballé, Laparra, Simoncelli 2016, "Density modeling of images using a generalized normalization transformation",
arXiv:1511.06281.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.bounds import lower_bound

PEDESTAL = 2.0**-36  # beta and gamma are stored as roots: their gradients do not vanish, nor explode, at zero
LEAST_BETA = 1e-6


class GDN(nn.Module):
    """y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2), or times the root; it sees no other position, so tiles stay exact.

    The parameters are the reference's: roots of beta and gamma plus a pedestal, bounded from below, so that both stay
    positive whatever an optimiser does. A transform that has a GDN with the same parameters is only roughly undone by its
    inverse.

    Args:
        channels: of both sides.
        inverse: multiply by the root, as a synthesis does.
    """

    def __init__(self, channels: int, *, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter((torch.ones(channels) + PEDESTAL).sqrt())
        self.gamma = nn.Parameter((0.1 * torch.eye(channels) + PEDESTAL).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        """`(B, channels, H, W)` to the same."""
        beta = lower_bound(self.beta, (LEAST_BETA + PEDESTAL) ** 0.5).square() - PEDESTAL
        gamma = lower_bound(self.gamma, PEDESTAL**0.5).square() - PEDESTAL
        norm = F.conv2d(x.square(), gamma[..., None, None], beta)
        return x * (norm.sqrt() if self.inverse else norm.rsqrt())
