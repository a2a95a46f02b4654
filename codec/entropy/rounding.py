"""Stand-ins for rounding: in training, in an encoder that counts bits, and in one that refines a picture's latent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_ALMOST = 1 - 1e-5  # keeps the logits of distances finite


@dataclass(frozen=True)
class Rounded:
    """Residuals of one shape.

    Attributes:
        values: what decoder and contexts see.
        counted: where the likelihood is taken.
    """

    values: Tensor
    counted: Tensor


class Rounding(Protocol):
    """How residuals become whole numbers, or nearly."""

    def __call__(self, residual: Tensor, bits: Callable[[Tensor], Tensor]) -> Rounded:
        """Round residuals of any shape; `bits` gives what residuals of that shape cost."""


@dataclass(frozen=True)
class Noise:
    """For training: uniform noise in the likelihood, rounded values with the gradient of the residual (Minnen and Singh 2020)."""

    def __call__(self, residual: Tensor, bits: Callable[[Tensor], Tensor]) -> Rounded:
        """Random."""
        rounded = torch.round(residual.detach())
        return Rounded(rounded + (residual - residual.detach()), residual + torch.rand_like(residual) - 0.5)


@dataclass(frozen=True)
class Priced:
    """The nearer integer, unless the one towards 0 is enough cheaper; no gradient.

    Attributes:
        price: how much nearer, in steps, the farther one must be for each bit that it costs more; 0 only rounds.
    """

    price: float = 0.0

    def __call__(self, residual: Tensor, bits: Callable[[Tensor], Tensor]) -> Rounded:
        """What encoders do."""
        residual = residual.detach()
        if self.price == 0:
            return _same(torch.round(residual))
        sign, inner = torch.sign(residual), residual.abs().floor()
        dearer = (bits(sign * (inner + 1)) - bits(sign * inner)).detach().clamp_min(0)
        return _same(sign * (inner + (residual.abs() - inner > 0.5 + self.price * dearer)))


@dataclass(frozen=True)
class Annealed:
    """A random mixture of both neighbours, ever nearer to one of them: stochastic Gumbel annealing.

    Yang, Bamler, Mandt 2020, "Improving inference for neural image compression", arXiv:2006.04240.

    Attributes:
        temperature: falls to 0 in the course of refinement.
    """

    temperature: float

    def __call__(self, residual: Tensor, bits: Callable[[Tensor], Tensor]) -> Rounded:
        """Differentiable, random."""
        below = residual.detach().floor()
        part = residual - below
        distances = torch.stack([part, 1 - part], -1).clamp(1 - _ALMOST, _ALMOST)
        logits = -torch.atanh(distances) / self.temperature
        shares = torch.nn.functional.gumbel_softmax(logits, tau=self.temperature, dim=-1)
        return _same(below + shares[..., 1])


NOISE = Noise()


def _same(values: Tensor) -> Rounded:
    return Rounded(values, values)
