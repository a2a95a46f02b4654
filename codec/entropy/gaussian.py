"""Differentiable code lengths of latents under a Gaussian and under a learned density.

Ballé, Minnen, Singh, Hwang, Johnston 2018, "Variational image compression with a scale hyperprior", arXiv:1802.01436.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn import lower_bound

LEAST_MASS = 1e-9
FARTHEST, BISECTIONS = 2.0**14, 32  # where quantiles are looked for, and how often the range is halved
_WIDTHS = (1, 3, 3, 3, 3, 1)


def gaussian_bits(residual: Tensor, log2_scale: Tensor) -> Tensor:
    """-log2 of the mass that N(0, scale^2) has on the unit interval around each residual, any shape."""
    scale, distance = torch.exp2(log2_scale), residual.abs()
    upper, lower = (0.5 - distance) / scale, (-0.5 - distance) / scale
    mass = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    return -torch.log2(lower_bound(mass, LEAST_MASS))


class FactorisedDensity(nn.Module):
    """One learned cumulative distribution a channel, monotone by construction (appendix 6.1 of the paper).

    Args:
        channels: number of distributions.
        start_scale: about the half-width of the distributions before training.
    """

    def __init__(self, channels: int, start_scale: float = 10.0) -> None:
        super().__init__()
        layers = len(_WIDTHS) - 1
        scale = start_scale ** (1 / layers)
        starts = [torch.full((channels, o, i), 1 / (scale * o)) for i, o in pairwise(_WIDTHS)]
        self.matrices = nn.ParameterList(torch.log(torch.expm1(start)) for start in starts)
        self.biases = nn.ParameterList(torch.rand(channels, width, 1) - 0.5 for width in _WIDTHS[1:])
        self.factors = nn.ParameterList(torch.zeros(channels, width, 1) for width in _WIDTHS[1:-1])

    def mass(self, values: Tensor) -> Tensor:
        """Probability of the unit interval around `(channels, n)` values."""
        upper, lower = self._logits(values + 0.5), self._logits(values - 0.5)
        sign = 1 - 2 * (upper + lower > 0).to(values.dtype)  # both in the tail where sigmoids are precise
        return (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()

    def bits(self, z: Tensor) -> Tensor:
        """-log2 of the mass around each of `(B, channels, *grid)`, summed."""
        return self.lengths(z).sum()

    def lengths(self, z: Tensor) -> Tensor:
        """-log2 of the mass around each of `(B, channels, *grid)`, of the same shape."""
        rows = z.transpose(0, 1)
        mass = self.mass(rows.flatten(1)).unflatten(1, rows.shape[1:])
        return -torch.log2(lower_bound(mass, LEAST_MASS)).transpose(0, 1)

    @torch.no_grad()
    def quantiles(self, share: float) -> Tensor:
        """`(channels,)` values below which this share of each distribution lies, by bisection."""
        low = self.biases[0].new_full((len(self.biases[0]), 1), -FARTHEST)
        high = -low
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = torch.sigmoid(self._logits(middle)) < share
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return high[:, 0]

    def _logits(self, values: Tensor) -> Tensor:
        signal = values[:, None]
        for i, matrix in enumerate(self.matrices):
            signal = F.softplus(matrix) @ signal + self.biases[i]
            if i < len(self.factors):
                signal = signal + torch.tanh(self.factors[i]) * torch.tanh(signal)
        return signal[:, 0]
