"""What every quantizer promises, and the one place where its result is described.

Legend: `z` continuous vectors from the encoder, `e` codebook rows, `q` the vectors that codes stand for, `K` codes, `D` dimensions.
"""

from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Quantized:
    """What a quantizer made of `z`.

    Attributes:
        vectors: `(..., D)`, in the forward pass exactly `decode(codes)`; carries the estimator's gradient to `z`.
        codes: int64 `(..., Q)`.
        losses: unweighted scalars by name, e.g. `commitment`; weights live in the training configuration.
    """

    vectors: Tensor
    codes: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)


class Quantizer(Protocol):
    """Vectors to integers and back, channel-last and blind to modality; classes only inherit from `nn.Module`.

    Attributes:
        dim: length D of the vectors.
        codebook_sizes: alphabet of each of the Q codes at one position.
    """

    dim: int
    codebook_sizes: tuple[int, ...]

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` to int64 `(..., Q)`; deterministic, independent of batch neighbours."""

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` to `(..., D)`; a residual quantizer decodes any prefix of its codes."""

    def start(self, z: Tensor) -> None:
        """Set what depends on data from `(N, D)` vectors, once, before training; the same on every process."""

    def __call__(self, z: Tensor) -> Quantized:
        """Quantize with gradients and, in training, statistics."""


def pass_gradient(z: Tensor, q: Tensor) -> Tensor:
    """`q` in the forward pass, the gradient of `z` in the backward pass (straight-through).

    Written as `q + (z - z.detach())`, which equals `q` exactly; `z + (q - z).detach()` is off by up to 0.06 in bfloat16.
    """
    return q + (z - z.detach())
