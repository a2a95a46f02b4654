"""How far a vector is from a codeword: Euclidean, cosine, dot product, or Euclidean plus the price of the code."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers.search import few_nearest


class Euclidean(nn.Module):
    """Squared Euclidean distance (van den Oord et al. 2017, arXiv:1711.00937)."""

    codebook_size: int | None = None  # the only size it works with, if it is bound to one
    adds_up = True  # costs of residual stages, each of what the one before left, are that of their sum

    def place(self, vectors: Tensor) -> Tensor:
        """Where vectors and codewords are compared: as they are."""
        return vectors

    def nearest(self, z: Tensor, e: Tensor) -> Tensor:
        """`(N, D)` placed vectors and `(K, D)` placed codewords to int64 `(N,)`."""
        return self.few_nearest(z, e, 1)[1].squeeze(1)

    def few_nearest(self, z: Tensor, e: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The nearest few: float64 costs less |z|^2 and int64 codes, `(N, count)` each."""
        return few_nearest(z, e, count, self.prices(e))

    def prices(self, _e: Tensor) -> Tensor | None:
        """What is added to the squared distance of each codeword, `(K,)`; None for nothing."""
        return None

    def assign(self, z: Tensor, e: Tensor) -> Tensor:
        """Codes `(N,)` of a training batch, which may depend on the batch; here the nearest."""
        return self.nearest(z, e)

    def logits(self, z: Tensor, e: Tensor) -> Tensor:
        """`(n, K)` scores with gradient, the largest at the nearest; for blocks, as nothing else needs this matrix."""
        return torch.addmm(-e.square().sum(1), z, e.T, alpha=2) - z.square().sum(1, keepdim=True)

    def mask_chances(self) -> Tensor | None:
        """`(K,)` chances that a code may not be drawn for a vector in training, where codes are drawn at random."""
        return None

    def observe(self, counts: Tensor) -> None:
        """Hits of each code in one training batch; of no interest here."""


class Cosine(Euclidean):
    """Both sides on the unit sphere: the l2-normalised codebook of Yu et al. 2021 (ViT-VQGAN), arXiv:2110.04627."""

    adds_up = False

    def place(self, vectors: Tensor) -> Tensor:
        """Project to the unit sphere."""
        return F.normalize(vectors, dim=-1)


class DotProduct(Euclidean):
    """The largest dot product wins, so long codewords win more (Shi et al. 2024, IBQ, arXiv:2412.02692)."""

    adds_up = False

    def prices(self, e: Tensor) -> Tensor:
        """What takes the squared length of a codeword out of its distance."""
        return -e.float().square().sum(1)

    def logits(self, z: Tensor, e: Tensor) -> Tensor:
        """`(n, K)` dot products."""
        return z @ e.T


class RateDistortion(Euclidean):
    """Squared distance plus `rate_weight` times the code's length in bits: entropy-constrained VQ.

    Chou, Lookabaugh, Gray 1989, "Entropy-constrained vector quantization". Rare codes must earn their bits, so a static
    table writes fewer bits at the same distortion. Lengths follow the hits of training batches and are frozen in eval.

    Args:
        codebook_size: K.
        rate_weight: squared distance that one bit may cost.
        decay: of the running hit counts.
    """

    hits: Tensor  # (K,) running mean of hits per batch

    def __init__(self, codebook_size: int, rate_weight: float, decay: float = 0.998) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.rate_weight = rate_weight
        self.decay = decay
        self.register_buffer("hits", torch.ones(codebook_size))

    def lengths_bits(self) -> Tensor:
        """`(K,)` ideal code lengths; a code without hits is priced as if it had a tenth of a fair share."""
        floor = 0.1 * self.hits.mean()
        smooth = self.hits + floor
        return -torch.log2(smooth / smooth.sum())

    def prices(self, _e: Tensor) -> Tensor:
        """Bits, in squared distance."""
        return self.rate_weight * self.lengths_bits()

    def logits(self, z: Tensor, e: Tensor) -> Tensor:
        """As `Euclidean.logits`, less the price of each code."""
        return super().logits(z, e) - self.prices(e)

    @torch.no_grad()
    def observe(self, counts: Tensor) -> None:
        """Follow the hits of one training batch (already summed over processes)."""
        self.hits.lerp_(counts.to(self.hits), 1 - self.decay)
