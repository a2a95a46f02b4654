"""Codewords as parameters, pulled towards their vectors by the codebook loss.

van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937.
"""

import torch
from torch import Tensor, nn

from codec.quantizers.codebooks.base import Codebook


class GradientCodebook(Codebook):
    """Plain VQ-VAE codebook: the optimiser moves it; starts at small Gaussian rows unless k-means is asked for."""

    rows: nn.Parameter

    def hold(self, rows: Tensor) -> None:
        """Codewords are parameters."""
        self.rows = nn.Parameter(rows)

    def vectors(self) -> Tensor:
        """`(K, D)` codewords, with gradient."""
        return self.rows

    @torch.no_grad()
    def replace(self, rows: Tensor, vectors: Tensor) -> None:
        """Overwrite codewords in place, past autograd: a replaced codeword was not chosen, so no gradient is due to it."""
        self.rows.data[rows] = vectors.to(self.rows)

    def losses(self, z: Tensor, q: Tensor) -> dict[str, Tensor]:
        """The codebook term: mean squared distance of the chosen codewords from the (fixed) vectors."""
        return {"codebook": (z.detach() - q).square().mean()}

    @torch.no_grad()
    def learn(self, z: Tensor, codes: Tensor) -> Tensor:
        """Count hits and revive; the movement itself is the optimiser's. Returns the batch's hits `(K,)`."""
        counts = self.count(codes)
        self.revive(z)
        return counts
