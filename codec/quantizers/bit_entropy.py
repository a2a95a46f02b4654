"""Entropy of binary codes as losses: each vector should be sure of its bits, all vectors together should use all codes.

Yu et al. 2023 (MAGVIT-v2), arXiv:2310.05737; Zhao et al. 2024 (BSQ), arXiv:2406.07548.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST = 1e-12  # a probability below it moves nothing: its logarithm's gradient would be infinite


class BitEntropy(nn.Module):
    """Losses in nats: `sample_entropy`, to be small, and `negative_codebook_entropy`, minus what should be large.

    The soft assignment to the codes `c` of {-a, a}^L, proportional to exp(2 T z.c), is a product over bits: bit j is 1 with
    probability sigmoid(4 T a z_j). The entropy of one vector is therefore exactly a sum over bits. The entropy of the mean
    over vectors is not; within a group it is exact, and the sum over groups is an upper bound, tight when groups are
    independent. A group's mean table of 2^g codes is one matrix product of two halves, `(2^(g/2), N)` by `(N, 2^(g/2))`:
    18 bits are exact without the N x 2^18 matrix. The mean is over the vectors of this process.

    Args:
        inverse_temperature: T; 100 in MAGVIT-v2 with a = 1, 1 on the sphere.
        group_bits: g, the bits of a group; memory 2^g.
    """

    def __init__(self, inverse_temperature: float, group_bits: int = 9) -> None:
        super().__init__()
        if not 1 <= group_bits <= 20:
            raise ValueError(f"groups hold 1 to 20 bits, got {group_bits}")
        self.inverse_temperature, self.group_bits = inverse_temperature, group_bits

    def forward(self, z: Tensor, amplitude: float) -> dict[str, Tensor]:
        """The two terms of `(..., L)` vectors with codes in {-amplitude, amplitude}^L."""
        logits = 4 * self.inverse_temperature * amplitude * z.reshape(-1, z.shape[-1])
        groups = torch.sigmoid(logits).split(self.group_bits, dim=1)
        codebook = torch.stack([mean_code_entropy(group) for group in groups]).sum()
        return {"sample_entropy": bit_entropy(logits).sum(1).mean(), "negative_codebook_entropy": -codebook}


def bit_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of each bit that is 1 with probability sigmoid(logit); any shape."""
    size = logits.abs()
    return F.softplus(-size) + size * torch.sigmoid(-size)


def mean_code_entropy(ones: Tensor) -> Tensor:
    """Entropy in nats of the mean over N of the product distributions over 2^g codes; `ones` is `(N, g)`, P(bit = 1)."""
    half = ones.shape[1] // 2
    mean = _products(ones[:, :half]).T @ _products(ones[:, half:]) / len(ones)
    return -(mean * mean.clamp_min(SMALLEST).log()).sum()


def _products(ones: Tensor) -> Tensor:
    """`(N, h)` bit probabilities to `(N, 2^h)` code probabilities; no bits make one code."""
    table = ones.new_ones(len(ones), 1)
    for j in range(ones.shape[1]):
        one = ones[:, j, None]
        table = torch.cat([table * (1 - one), table * one], 1)
    return table
