"""Vector quantization: a code is the index of the nearest codeword.

van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937. Three independent choices make
the family: the codebook's rule, the distance, and the estimator of the gradient.
"""

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized
from codec.quantizers.codebooks import Codebook
from codec.quantizers.distances import Euclidean
from codec.quantizers.estimators import StraightThrough


class VectorQuantizer(nn.Module):
    """One code per position, from a learned codebook.

    Losses: `commitment`, the mean squared distance of the placed vectors from their (fixed) codewords, and what the
    codebook's rule adds.

    Args:
        codebook: the codewords and the rule by which they move.
        distance: where vectors are placed for the comparison, and what is nearest there.
        estimator: how the gradient of the codeword reaches the placed vector.
    """

    def __init__(
        self, codebook: Codebook, distance: Euclidean | None = None, estimator: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.codebook = codebook
        self.distance = distance if distance is not None else Euclidean()
        self.estimator = estimator if estimator is not None else StraightThrough()
        if self.distance.codebook_size not in (None, codebook.codebook_size):
            raise ValueError(
                f"the distance is for {self.distance.codebook_size} codes but the codebook has {codebook.codebook_size}"
            )
        self.dim = codebook.dim
        self.codebook_sizes = (codebook.codebook_size,)

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., 1)` codes."""
        placed = self.distance.place(z.float()).reshape(-1, self.dim)
        return self._nearest(placed).reshape(*z.shape[:-1], 1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., 1)` codes to `(..., D)` codewords."""
        return self.distance.place(self.codebook.vectors())[codes.squeeze(-1)]

    def start(self, z: Tensor) -> None:
        """Start the codebook by k-means where its rule asks for it."""
        if not bool(self.codebook.started):
            self.codebook.start(self.distance.place(z.float()))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize; in training the codebook then learns from the batch."""
        with torch.autocast(z.device.type, enabled=False):
            placed = self.distance.place(z.float())
            flat = placed.reshape(-1, self.dim)
            if self.training:
                self.start(flat.detach())
            codes = self._nearest(flat)
            q = self.distance.place(self.codebook.vectors())[codes]
            losses = {"commitment": (flat - q.detach()).square().mean()} | self.codebook.losses(flat, q)
            if self.training:
                self.distance.observe(self.codebook.learn(flat.detach(), codes))
            vectors = self.estimator(placed, q.reshape(placed.shape))
        return Quantized(vectors=vectors, codes=codes.reshape(*z.shape[:-1], 1), losses=losses)

    def _nearest(self, placed: Tensor) -> Tensor:
        return self.distance.nearest(placed, self.distance.place(self.codebook.vectors()))
