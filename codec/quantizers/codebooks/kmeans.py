"""Lloyd's algorithm on latents, to start a codebook where the data is.

Lloyd 1982, "Least squares quantization in PCM"; as a start for VQ: Zeghidour et al. 2021, arXiv:2107.03312.
"""

import torch
from torch import Tensor

from codec.quantizers.search import nearest


@torch.no_grad()
def kmeans(z: Tensor, codebook_size: int, *, iterations: int = 10, generator: torch.Generator | None = None) -> Tensor:
    """`(N, D)` vectors to `(K, D)` centroids; an empty cluster restarts at a random vector.

    With fewer vectors than codes the vectors are repeated with a noise of a thousandth of their spread.
    """
    z = z.float()
    if len(z) == 0:
        raise ValueError("k-means needs at least one vector, got none")
    centroids = _draw(z, codebook_size, generator)
    for _ in range(iterations):
        codes = nearest(z, centroids)
        counts = torch.bincount(codes, minlength=codebook_size).to(z)
        sums = torch.zeros_like(centroids).index_add_(0, codes, z)
        fresh = _draw(z, codebook_size, generator)
        centroids = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp_min(1), fresh)
    return centroids


def _draw(z: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """`count` rows of `z`, distinct while they last."""
    order = torch.randperm(len(z), generator=generator).to(z.device)
    if len(z) >= count:
        return z[order[:count]].clone()
    rows = z[order.repeat(-(-count // len(z)))[:count]]
    noise = torch.randn(rows.shape, generator=generator).to(z.device)
    return rows + 1e-3 * z.std() * noise if len(z) > 1 else rows + 1e-3 * noise
