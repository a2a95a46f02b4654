"""Distances made for codes that are drawn at random (`GumbelSoftmax`): McQuic's, and logits of a network (vq-wav2vec)."""

import math

import torch
from torch import Tensor, nn

from codec.quantizers.blocks import by_blocks
from codec.quantizers.distances import Euclidean


class MaskedEuclidean(Euclidean):
    """Squared distance / sqrt(K), times a learned sharpness; in training frequent codes are masked at random.

    Zhu et al. 2022, "Unified Multivariate Gaussian Mixture for Efficient Neural Image Compression" (McQuic). A code of
    frequency f is masked with the chance f^(1/a), where a falls from log2(K) to 1 as the share of codes in use rises to 1.
    McQuic's codebooks for groups of channels are a `Product` of quantizers with this distance.

    Args:
        codebook_size: K.
        decay: of the running frequencies.
    """

    hits: Tensor  # (K,) running frequencies, sum 1

    def __init__(self, codebook_size: int, decay: float = 0.9) -> None:
        super().__init__()
        self.codebook_size, self.decay = codebook_size, decay
        self.log_sharpness = nn.Parameter(torch.zeros(()))
        self.register_buffer("hits", torch.full((codebook_size,), 1 / codebook_size))

    def logits(self, z: Tensor, e: Tensor) -> Tensor:
        """`(n, K)`, with gradient to the sharpness."""
        return super().logits(z, e) * (self.log_sharpness.exp() / math.sqrt(len(e)))

    def mask_chances(self) -> Tensor:
        """`(K,)` by frequency."""
        used, bits = (self.hits > 1e-7).float().mean(), math.log2(len(self.hits))
        return self.hits ** (1 / (bits - (bits - 1) * used.square()))

    @torch.no_grad()
    def observe(self, counts: Tensor) -> None:
        """Follow the frequencies of one training batch (already summed over processes)."""
        self.hits.lerp_(counts.to(self.hits) / counts.sum().clamp_min(1), 1 - self.decay)


class Classifier(Euclidean):
    """No distance at all: a network of two layers scores the codes, and the codewords are only what codes stand for.

    Baevski et al. 2019, "vq-wav2vec", arXiv:1910.05453.

    Args:
        dim: D.
        codebook_size: K.
        width: of the hidden layer.
    """

    adds_up = False

    def __init__(self, dim: int, codebook_size: int, width: int = 128) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.network = nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.Linear(width, codebook_size))

    def logits(self, z: Tensor, e: Tensor) -> Tensor:
        """`(n, K)` scores; the codewords have no say."""
        return self.network(z)

    @torch.no_grad()
    def nearest(self, z: Tensor, e: Tensor) -> Tensor:
        """The code of the highest score, by blocks of one shape."""
        with torch.autocast(z.device.type, enabled=False):
            return by_blocks(lambda rows: self.network(rows).argmax(1, keepdim=True), z.float()).squeeze(1)
