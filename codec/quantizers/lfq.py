"""Lookup-free quantization: one bit per channel, its sign.

Yu et al. 2023, "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (MAGVIT-v2), arXiv:2310.05737.
"""

from torch import Tensor, nn

from codec.quantizers.bit_entropy import BitEntropy
from codec.quantizers.digits import Digits
from codec.quantizers.implicit import Implicit


class LFQ(Implicit):
    """2^bits codes, the corners of the cube {-1, 1}^bits; nothing is looked up.

    Bit j of a code says that channel j is positive; bits are split over codes `digits_per_code` at a time, channel 0 lowest
    in the first. Losses: `commitment`, the mean squared distance from the corner, and in training the terms of `entropy`, without which
    most bits stay constant.

    Args:
        bits: D, one bit a channel.
        entropy: the entropy terms, none unless given.
        digits_per_code: bits that share a code, at most 62; all of them unless given.
        estimator: how the gradient of the corner reaches the placed vector.
    """

    def __init__(
        self,
        bits: int,
        entropy: BitEntropy | None = None,
        *,
        digits_per_code: int | None = None,
        estimator: nn.Module | None = None,
    ) -> None:
        super().__init__(estimator)
        self.digits = Digits([2] * bits, digits_per_code)
        self.entropy = entropy
        self.dim, self.codebook_sizes = bits, self.digits.codebook_sizes

    @property
    def amplitude(self) -> float:
        """Size of each channel of a code's vector."""
        return 1.0

    def choose(self, placed: Tensor) -> Tensor:
        """Signs; zero counts as negative."""
        return self.digits.pack((placed > 0).long())

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., D)` corners."""
        return self.amplitude * (2 * self.digits.unpack(codes) - 1)

    def losses(self, placed: Tensor, q: Tensor) -> dict[str, Tensor]:
        """Commitment, and in training the entropies."""
        terms = {"commitment": (placed - q).square().mean()}
        return terms | self.entropy(placed, self.amplitude) if self.entropy is not None and self.training else terms
