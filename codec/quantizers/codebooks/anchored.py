"""Unused codewords are drawn to vectors of the batch, the more the less they are used: no code stays dead.

Zheng, Vedaldi 2023, "Online Clustered Codebook" (CVQ-VAE), arXiv:2307.15139.
"""

import torch
from torch import Tensor

from codec.quantizers.codebooks.anchors import Anchor, ClosestAnchor
from codec.quantizers.codebooks.gradient import GradientCodebook
from codec.quantizers.codebooks.parameterisation import Parameterisation
from codec.quantizers.processes import from_first_process, gather_rows

SHARPNESS = 10.0
LEAST_PULL = 1e-4  # a codeword that would move less stays


class AnchoredCodebook(GradientCodebook):
    """As its parent; besides, each batch moves codeword k to `(1 - a) e + a anchor`, `a = exp(-10 share / (1 - decay))`.

    `share` is the running use of the code over a fair share: at a hundredth of it the pull is exp(-10), so only dead codes
    move, and by then an optimiser has forgotten them. All codes begin as unused.

    Args:
        codebook_size: K.
        dim: D.
        anchor: which vector draws a codeword; the closest unless given.
        parameterisation: as in `GradientCodebook`.
        kmeans_iterations: as in `Codebook`.
        decay: of the running hit counts.
    """

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        anchor: Anchor | None = None,
        parameterisation: Parameterisation | None = None,
        kmeans_iterations: int = 0,
        decay: float = 0.99,
    ) -> None:
        super().__init__(
            codebook_size, dim, parameterisation=parameterisation, kmeans_iterations=kmeans_iterations, decay=decay
        )
        if parameterisation is not None and not parameterisation.placeable:
            raise ValueError(f"{type(parameterisation).__name__} cannot place codewords one by one")
        self.anchor = anchor if anchor is not None else ClosestAnchor()
        self.hits.zero_()

    @torch.no_grad()
    def learn(self, z: Tensor, codes: Tensor) -> Tensor:
        """Count hits and draw unused codewords to their anchors. Returns the batch's hits `(K,)`."""
        counts = self.count(codes)
        share = self.hits / self.hits.mean().clamp_min(1e-12)
        pull = torch.exp(-SHARPNESS / (1 - self.decay) * share - 1e-3)
        moving = (pull > LEAST_PULL).nonzero().squeeze(1)
        candidates = gather_rows(z.detach().float()) if len(moving) else z
        if len(moving) and len(candidates):
            e = self.vectors()[moving]
            anchors = from_first_process(self.anchor(e, candidates, self._generator()).contiguous())
            self.replace(moving, e.lerp(anchors, pull[moving, None]))
        return counts
