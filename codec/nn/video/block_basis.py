"""The principal components of blocks of frames, where transforms of video begin."""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.nn.video.haar import SIDE, to_bands


@dataclass(frozen=True)
class BlockBasis:
    """Orthonormal directions of the space of bands, strongest first.

    Attributes:
        directions: `(latent_dim, bands)`.
        mean: `(bands,)`.
        step: one unit of the latent.
    """

    directions: Tensor
    mean: Tensor
    step: float


@torch.no_grad()
def block_basis(batches: list[Tensor], latent_dim: int, group: int, step: float) -> BlockBasis:
    """PCA of blocks of `group` frames; batches are groups of frames `(B, 3, G group, H, W)` in [0, 1]."""
    size = 3 * group * SIDE * SIDE
    count, total, moments = 0, torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
    for frames in batches:
        rows = to_bands(frames.double(), group).movedim(2, -1).flatten(0, -2)
        count, total, moments = count + len(rows), total + rows.sum(0), moments + rows.T @ rows
    mean = total / count
    directions = torch.linalg.eigh(moments / count - torch.outer(mean, mean)).eigenvectors.T.flip(0)[:latent_dim]
    return BlockBasis(directions.float(), mean.float(), step)
