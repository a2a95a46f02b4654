"""What quantizers have in common whose codewords a rule gives: no table is learned, no statistics are kept."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers.base import Quantized
from codec.quantizers.estimators import StraightThrough


class Implicit(nn.Module):
    """Place the vector, choose its code there, and let an estimator carry the gradient to the placed vector.

    A member says where vectors are compared (`place`), which code is nearest there (`choose`), what a code stands for
    (`decode`), and sets `dim` and `codebook_sizes`.

    Args:
        estimator: how the gradient of the codeword reaches the placed vector; straight-through unless given.
    """

    dim: int
    codebook_sizes: tuple[int, ...]

    def __init__(self, estimator: nn.Module | None = None) -> None:
        super().__init__()
        self.estimator = estimator if estimator is not None else StraightThrough()

    def place(self, z: Tensor) -> Tensor:
        """`(..., D)` float32 vectors to where they are compared with codewords: as they are."""
        return z

    def choose(self, placed: Tensor) -> Tensor:
        """`(..., D)` placed vectors to int64 `(..., Q)` codes, each position by itself."""
        raise NotImplementedError

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., D)` vectors."""
        raise NotImplementedError

    def losses(self, placed: Tensor, q: Tensor) -> dict[str, Tensor]:
        """Loss terms of placed vectors and their codewords, `(..., D)` each."""
        return {}

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes."""
        with torch.autocast(z.device.type, enabled=False):
            return self.choose(self.place(z.float().contiguous()))

    def start(self, z: Tensor) -> None:
        """Nothing depends on data."""

    def forward(self, z: Tensor) -> Quantized:
        """Quantize with the estimator's gradient."""
        with torch.autocast(z.device.type, enabled=False):
            placed = self.place(z.float().contiguous())
            codes = self._sample(placed.detach()) if self.training else self.choose(placed.detach())
            q = self.decode(codes)
            return Quantized(vectors=self.estimator(placed, q), codes=codes, losses=self.losses(placed, q))

    def _sample(self, placed: Tensor) -> Tensor:
        """Codes of a training step: those of `choose`, unless a member draws them."""
        return self.choose(placed)


class Spherical(Implicit):
    """An implicit quantizer of directions: what it decodes has (about) unit length. `GainShape` adds the length."""

    def place(self, z: Tensor) -> Tensor:
        """Project to the unit sphere; a zero vector stays zero."""
        return F.normalize(z, dim=-1)
