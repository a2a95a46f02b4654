"""A classifier of stored tokens: what a picture or sound is, told from the vectors that its codes stand for.

Park et al. 2023, "SeiT: Storage-Efficient Vision Training with Tokens Using 1% of Pixel Storage", arXiv:2303.11114; Lee et al. 2024,
"SeiT++", arXiv:2312.10105, for augmentation without the media.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.nn import GridTransformer


@dataclass(frozen=True)
class TokenAugmentation:
    """Changes of vectors `(B, rows, columns, D)` after which they are still of their class.

    Attributes:
        channel_noise: of a vector's channels, the same all over a grid, in units of their spread.
        noise: of every channel everywhere, likewise: a code becomes one of those beside it.
        swap: share of the grids that take over mean and spread of each channel from another one (SeiT++'s ColorAdapt).
        drop: share of the positions that are left out.
    """

    channel_noise: float = 0.2
    noise: float = 0.2
    swap: float = 0.5
    drop: float = 0.1

    def __call__(self, vectors: Tensor, random: torch.Generator) -> Tensor:
        """A changed copy."""
        batch, *grid, dim = vectors.shape
        mean, spread = vectors.mean((1, 2), keepdim=True), vectors.std((1, 2), keepdim=True, correction=0) + 1e-6
        device = vectors.device
        other = torch.randperm(batch, generator=random).to(device)
        swapped = (vectors - mean) / spread * spread[other] + mean[other]
        chosen = torch.rand(batch, 1, 1, 1, generator=random).to(device) < self.swap
        found = torch.where(chosen, swapped, vectors)
        found = found + self.channel_noise * spread * torch.randn(batch, 1, 1, dim, generator=random).to(device)
        found = found + self.noise * spread * torch.randn(vectors.shape, generator=random).to(device)
        return found * (torch.rand(batch, *grid, 1, generator=random).to(device) >= self.drop)


class TokenClassifier(nn.Module):
    """Vectors on a grid to logits of classes.

    Args:
        vector_dim: D.
        classes: how many.
        trunk: the network.
        dropout: of what is pooled.
    """

    def __init__(self, vector_dim: int, classes: int, trunk: GridTransformer, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(vector_dim)
        self.enter = nn.Linear(vector_dim, trunk.dim)
        self.trunk = trunk
        self.leave = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * trunk.dim, classes))

    def forward(self, vectors: Tensor) -> Tensor:
        """`(B, rows, columns, D)` to `(B, classes)`."""
        normed = self.norm(vectors.flatten(0, 2)).view_as(vectors)
        hidden = self.trunk(self.enter(normed)).flatten(1, 2)
        logits: Tensor = self.leave(torch.cat([hidden.mean(1), hidden.amax(1)], 1))
        return logits
