"""The linear path of a transform: each 16x16 patch to its latent and back, started at the principal components of patches.

A deep transform that is added to this path from zero starts as a sensible classical transform, whatever is inside it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.classic import STRIDE
from codec.nn.patch import PatchBasis
from codec.nn.pyramid import spread_of

SIZE = 3 * STRIDE * STRIDE
GAIN = 8  # of the weights over those of an orthonormal basis, whose entries are small beside a learning rate


class LinearAnalysis(nn.Module):
    """Pixels `(B, 3, 16 h, 16 w)` and what a network makes of them to normalised latents `(B, latent_dim, h, w)`.

    The network's channels are weighed with learned gains that start at zero (ReZero: Bachlechner et al. 2020,
    arXiv:2003.04887).

    Args:
        latent_dim: channels of the latent.
    """

    spread: Tensor  # (latent_dim, 1, 1): deviation of each channel before it is normalised, in sample units

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.map = nn.Conv2d(SIZE, latent_dim, 1)
        self.gain = nn.Parameter(torch.zeros(latent_dim, 1, 1))
        self.register_buffer("spread", torch.ones(latent_dim, 1, 1))

    @torch.no_grad()
    def start_from(self, basis: PatchBasis) -> None:
        """Set the map to the basis: latents then have about unit variance, weak channels less."""
        weight = GAIN * basis.directions
        self.map.weight.copy_(weight[..., None, None])
        self.map.bias.copy_(-(weight @ basis.mean.repeat_interleave(STRIDE**2)))  # type: ignore[union-attr]
        self.spread.copy_(spread_of(basis)[:, None, None])

    def forward(self, x: Tensor, learned: Tensor) -> Tensor:
        """Shapes as in the class text; `learned` has the latents' shape."""
        with torch.autocast(x.device.type, enabled=False):  # a strong channel spans hundreds of steps
            patches = F.pixel_unshuffle(x, STRIDE)
            return (self.map(patches) / GAIN + self.gain * learned.to(x.dtype)) / self.spread


class LinearSynthesis(nn.Module):
    """Normalised latents `(B, latent_dim, h, w)` and a network's picture to pixels `(B, 3, 16 h, 16 w)`.

    Args:
        latent_dim: channels of the latent.
    """

    spread: Tensor  # (latent_dim, 1, 1), as in the analysis

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.map = nn.Conv2d(latent_dim, SIZE, 1)
        self.register_buffer("spread", torch.ones(latent_dim, 1, 1))

    @torch.no_grad()
    def start_from(self, basis: PatchBasis) -> None:
        """Set the map to the transposed basis."""
        self.map.weight.copy_(GAIN * basis.directions.T[..., None, None])
        self.map.bias.copy_(basis.mean.repeat_interleave(STRIDE**2))  # type: ignore[union-attr]
        self.spread.copy_(spread_of(basis)[:, None, None])

    def forward(self, n: Tensor, learned: Tensor) -> Tensor:
        """Latents, and the network's picture `(B, 3, 16 h, 16 w)` whose last layer starts at zero, to pixels."""
        with torch.autocast(n.device.type, enabled=False):
            own = self.map(n.to(self.spread.dtype) * self.spread / GAIN)
            return F.pixel_shuffle(own, STRIDE) + learned.to(own.dtype) / 4
