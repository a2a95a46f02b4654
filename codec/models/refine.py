"""Encoder-side refinement: a few gradient steps on one picture's latent, for fewer bits and a nearer picture; decoders stay.

Yang, Bamler, Mandt 2020, "Improving inference for neural image compression", arXiv:2006.04240 (stochastic Gumbel annealing).
"""

import math
from typing import Protocol

import torch
from torch import Tensor

from codec.entropy.rounding import Annealed, Priced, Rounding
from codec.models.latent_picture import LatentPrior

STEP = 0.02  # of Adam, in quantisation steps
WARM, LAST = 0.5, 0.12  # temperatures
HOT_SHARE = 0.3  # of the steps before the temperature falls
CHECKS = 5  # how often the rounded latent is measured on the way


class Refinable(Protocol):
    """What refinement needs of a codec."""

    prior: LatentPrior
    price: float

    def synthesis(self, n: Tensor, levels: Tensor) -> Tensor:
        """Pixels of a latent."""

    def distortion_price(self, levels: Tensor) -> Tensor:
        """Bits a pixel that a squared error of 1, in 8-bit samples, is worth at a level."""


def refine(codec: Refinable, pixels: Tensor, latent: Tensor, levels: Tensor, steps: int) -> Tensor:
    """A better latent for a window of a picture: never one that is worse by the codec's own measure.

    Args:
        codec: whose weights are not changed.
        pixels: `(1, 3, H, W)` in [0, 1].
        latent: normalised `(1, channels, h, w)`.
        levels: `(1, 1, h, w)`.
        steps: of Adam.
    """
    start = latent.clone()
    scale = codec.prior.step_sizes(levels)
    moved = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([moved], STEP)
    best, least = start, _cost(codec, pixels, start, levels, Priced(codec.price)).item()
    generator_state = torch.get_rng_state()
    torch.manual_seed(0)
    for step in range(1, steps + 1):
        cost = _cost(codec, pixels, start + moved * scale, levels, Annealed(temperature(step / steps)))
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        if step % max(1, steps // CHECKS) == 0 or step == steps:
            tried = (start + moved * scale).detach()
            found = _cost(codec, pixels, tried, levels, Priced(codec.price)).item()
            best, least = (tried, found) if found < least else (best, least)
    torch.set_rng_state(generator_state)
    return best


def temperature(progress: float) -> float:
    """Warm at first, then falling to `LAST`."""
    cooled = max(0.0, progress - HOT_SHARE) / (1 - HOT_SHARE)
    return WARM * math.exp(cooled * math.log(LAST / WARM))


def _cost(codec: Refinable, pixels: Tensor, latent: Tensor, levels: Tensor, rounding: Rounding) -> Tensor:
    """Bits of the window, and squared errors at their price in bits."""
    with torch.set_grad_enabled(not isinstance(rounding, Priced)):
        coded = codec.prior(latent, levels, rounding)
        errors = (codec.synthesis(coded.latents, levels) - pixels).square().mean(1, keepdim=True) * 255**2
        factor = pixels.shape[-1] // levels.shape[-1]
        prices = codec.distortion_price(levels).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
        return coded.bits.sum() + (prices * errors).sum()
