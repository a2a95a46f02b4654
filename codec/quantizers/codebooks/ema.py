"""Codewords as running means of their vectors: online k-means, no gradient.

van den Oord et al. 2017, appendix A.1, arXiv:1711.00937; Razavi et al. 2019 (VQ-VAE-2), arXiv:1906.00446.
"""

import torch
from torch import Tensor

from codec.quantizers.codebooks.base import Codebook
from codec.quantizers.processes import sum_over_processes


class EMACodebook(Codebook):
    """Each codeword is the exponentially weighted mean of the vectors that chose it.

    A revived code restarts with its own sum, so that the next update does not throw it back.
    """

    rows: Tensor  # (K, D)
    sums: Tensor  # (K, D) running sums; rows = sums / hits

    def hold(self, rows: Tensor) -> None:
        """Codewords are buffers with their running sums."""
        self.register_buffer("rows", rows)
        self.register_buffer("sums", rows.clone())

    def vectors(self) -> Tensor:
        """`(K, D)` codewords, no gradient."""
        return self.rows

    @torch.no_grad()
    def replace(self, rows: Tensor, vectors: Tensor) -> None:
        """Overwrite codewords and their history."""
        share = self.hits.mean()
        self.rows[rows] = vectors.to(self.rows)
        self.sums[rows] = vectors.to(self.sums) * share
        self.hits[rows] = share

    @torch.no_grad()
    def learn(self, z: Tensor, codes: Tensor) -> Tensor:
        """Move the means by one batch, then revive. Returns the batch's hits `(K,)`."""
        counts = self.count(codes)
        used = counts.nonzero().squeeze(1)  # the same on every process, and few where K is large
        place = (counts > 0).cumsum(0)[codes] - 1
        sums = self.sums.new_zeros(len(used), self.dim).index_add_(0, place, z.to(self.sums))
        self.sums.mul_(self.decay).index_add_(0, used, sum_over_processes(sums), alpha=1 - self.decay)
        self.rows[used] = self.sums[used] / self.hits[used, None]
        self.revive(z)
        return counts
