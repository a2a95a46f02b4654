"""One quantizer for all groups of channels: the groups share its codebook.

With unit vectors this is grouped spherical quantization: Wang et al. 2024, arXiv:2412.02632.
"""

from torch import Tensor, nn

from codec.quantizers.base import Quantized, Quantizer


class Grouped(nn.Module):
    """Cut vectors into equal groups of channels and quantize each with the same quantizer.

    A position has the quantizer's codes for each group, first group first. A group counts as a vector of its own, so losses and
    statistics are means over groups too.

    Args:
        quantizer: works on one group.
        groups: how many.
    """

    def __init__(self, quantizer: Quantizer, groups: int) -> None:
        super().__init__()
        if groups < 1:
            raise ValueError(f"need at least 1 group, got {groups}")
        self.quantizer, self.groups = quantizer, groups
        self.dim = groups * quantizer.dim
        self.codebook_sizes = tuple(quantizer.codebook_sizes) * groups

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes."""
        return self.quantizer.encode(self._cut(z)).flatten(-2)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., D)` vectors."""
        return self.quantizer.decode(codes.unflatten(-1, (self.groups, -1))).flatten(-2)

    def start(self, z: Tensor) -> None:
        """Start the quantizer on all groups of `(N, D)` vectors."""
        self.quantizer.start(self._cut(z).flatten(0, 1))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize all groups at once."""
        inner = self.quantizer(self._cut(z))
        return Quantized(inner.vectors.flatten(-2), inner.codes.flatten(-2), inner.losses)

    def _cut(self, z: Tensor) -> Tensor:
        return z.unflatten(-1, (self.groups, self.quantizer.dim))
