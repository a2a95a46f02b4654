"""Loss terms that any codebook quantizer can take on: orthogonal codewords, entropy of the choice, contrast.

A regulariser sees placed vectors `(N, D)`, placed codewords `(K, D)` with gradient, and the distance; it speaks in training only.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from codec.quantizers.distances import Euclidean
from codec.quantizers.soft import assignment_entropy, score_blocks

SMALLEST = 1e-12  # a probability below it moves nothing: its logarithm's gradient would be infinite


class Regulariser(nn.Module):
    """Loss terms for a `VectorQuantizer`, beside those of its rule."""

    codebook_size: int | None = None  # the only size it works with, if it is bound to one

    def forward(self, z: Tensor, e: Tensor, distance: Euclidean) -> dict[str, Tensor]:
        """Loss terms of one training batch."""
        raise NotImplementedError


class Orthogonality(Regulariser):
    """Codewords at right angles: a shifted picture then more often gives shifted codes.

    Shin et al. 2021, "Translation-equivariant Image Quantizer", arXiv:2112.00384. Term `orthogonality`: mean squared
    difference of the cosines between codewords from the identity. With more codes than dimensions it spreads them.

    Args:
        rows: so many codewords are compared in one step, drawn anew each time.
    """

    draws: Tensor  # int64, seeds the draw, so that a resumed run draws the same

    def __init__(self, rows: int = 128) -> None:
        super().__init__()
        self.rows = rows
        self.register_buffer("draws", torch.tensor(0))

    def forward(self, z: Tensor, e: Tensor, distance: Euclidean) -> dict[str, Tensor]:
        """Loss terms of one training batch."""
        generator = torch.Generator().manual_seed(int(self.draws))
        self.draws += 1
        drawn = torch.randperm(len(e), generator=generator)[: self.rows].to(e.device)
        directions = F.normalize(e[drawn], dim=1)
        cosines = directions @ directions.T
        return {"orthogonality": (cosines - torch.eye(len(drawn), device=e.device)).square().mean()}


class CodeEntropy(Regulariser):
    """Sure of each choice, even over all: the entropy terms of IBQ, after MAGVIT-v2.

    Yu et al. 2023, arXiv:2310.05737; Shi et al. 2024, arXiv:2412.02692. With p the softmax of the sharpened logits, the terms
    are `sample_entropy`, the mean over vectors of H(p) in nats, and `negative_codebook_entropy`, minus H of the mean p; the mean
    is over this process. Computed in blocks; `BitEntropy` is the same for binary codes.

    Args:
        inverse_temperature: factor of the logits.
    """

    def __init__(self, inverse_temperature: float = 100.0) -> None:
        super().__init__()
        self.inverse_temperature = inverse_temperature

    def forward(self, z: Tensor, e: Tensor, distance: Euclidean) -> dict[str, Tensor]:
        """Loss terms of one training batch."""
        entropy, mean = assignment_entropy(z, e, distance, self.inverse_temperature)
        codebook = (mean * mean.clamp_min(SMALLEST).log()).sum()
        return {"sample_entropy": entropy, "negative_codebook_entropy": codebook}


class Contrast(Regulariser):
    """Each codeword near its nearest vectors and far from the far ones: the optional term of CVQ-VAE.

    Zheng, Vedaldi 2023, "Online Clustered Codebook", arXiv:2307.15139. Term `contrast`: cross-entropy of a code's mean
    cosine with its N / K nearest vectors against its cosines with the farther half of the batch. Computed in blocks of codes.

    Args:
        temperature: of the softmax.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, z: Tensor, e: Tensor, distance: Euclidean) -> dict[str, Tensor]:
        """Loss terms of one training batch."""
        vectors, codewords = F.normalize(z, dim=1), F.normalize(e, dim=1)
        near = max(1, len(z) // len(e))
        total = z.new_zeros(())
        for _, block in score_blocks(codewords, len(z)):
            total = total + checkpoint(self._sum, block, vectors, near, use_reentrant=False)
        return {"contrast": total / len(e)}

    def _sum(self, codewords: Tensor, vectors: Tensor, near: int) -> Tensor:
        cosines = codewords @ vectors.T / self.temperature
        positive = cosines.topk(near, dim=1).values.mean(1, keepdim=True)
        negative = cosines.topk(max(1, len(vectors) // 2), dim=1, largest=False).values
        return (torch.logsumexp(torch.cat([positive, negative], 1), 1) - positive.squeeze(1)).sum()
