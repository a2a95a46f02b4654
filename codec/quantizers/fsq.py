"""Finite scalar quantization: round each channel of a bounded vector to a few levels.

Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv:2309.15505, in the symmetric form
(evenly spaced points in [-1, 1], both ends included; Parker et al. 2024, arXiv:2411.19842).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized, pass_gradient


class FSQ(nn.Module):
    """One code per position, from a grid of `prod(levels)` points; nothing is learned.

    Args:
        levels: points per channel, each at least 2; `[8, 5, 5, 5]` gives 1000 codes (10 bits).
    """

    levels: Tensor  # (D,)
    places: Tensor  # (D,) worth of one step in each digit: a code is the weighted sum of its digits

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        if min(levels) < 2:
            raise ValueError(f"every level must be at least 2, got {list(levels)}")
        self.dim = len(levels)
        self.codebook_sizes = (math.prod(levels),)
        places = [math.prod(levels[:i]) for i in range(self.dim)]
        self.register_buffer("levels", torch.tensor(list(levels)), persistent=False)
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., 1)` codes."""
        return self._codes(self._bound(z.float()).round())

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., 1)` codes to `(..., D)` vectors in [-1, 1]."""
        return self._centre(codes // self.places % self.levels)

    def start(self, z: Tensor) -> None:
        """Nothing depends on data."""

    def forward(self, z: Tensor) -> Quantized:
        """Round with the gradient of the bounded vector."""
        with torch.autocast(z.device.type, enabled=False):
            bounded = self._bound(z.float())
            digits = pass_gradient(bounded, bounded.detach().round())
            return Quantized(vectors=self._centre(digits).to(z.dtype), codes=self._codes(digits.detach()))

    def _bound(self, z: Tensor) -> Tensor:
        """Squash to [0, levels - 1], so that rounding picks one of `levels` digits."""
        return (self.levels - 1) * (torch.tanh(z) + 1) / 2

    def _centre(self, digits: Tensor) -> Tensor:
        return 2 * digits / (self.levels - 1) - 1

    def _codes(self, digits: Tensor) -> Tensor:
        return (digits.long() * self.places).sum(-1, keepdim=True)
