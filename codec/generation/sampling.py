"""How codes are drawn from probabilities: temperature, the likeliest few, and guidance away from the unconditional.

Ho and Salimans 2022, "Classifier-Free Diffusion Guidance", arXiv:2207.12598; Holtzman et al. 2020, "The Curious Case of Neural Text
Degeneration", arXiv:1904.09751, for `top_p`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """Settings of a sampler.

    Attributes:
        temperature: divides the logarithms of probabilities; at 0 the likeliest code is taken.
        top_k: only so many likeliest codes; all if None.
        top_p: only the likeliest codes that have this share together.
        guidance: how far to go from the unconditional probabilities through the conditional ones: 1 arrives there.
        steps: of models that fill a grid in several; the later planes of several have half as many each, at least one.
        noise: of the confidence by which such models choose what to keep, falling to 0 at the last step.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    guidance: float = 1.0
    steps: int = 16
    noise: float = 4.5

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.steps < 1 or self.noise < 0:
            raise ValueError(f"temperature and noise are at least 0, top_p in (0, 1], steps at least 1, got {self}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"at least the likeliest code is left, got top_k {self.top_k}")


def guided(found: Sequence[Tensor], guidance: float) -> Tensor:
    """Logarithms of probabilities `(..., K)`: the only ones, or those told something and those told nothing, combined."""
    if len(found) == 1:
        return found[0]
    conditional, unconditional = found
    return (unconditional + guidance * (conditional - unconditional)).log_softmax(-1)


def draw(log_probabilities: Tensor, sampling: Sampling, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """One code from each row of `(n, K)`, and the logarithm of the probability that it had before any cut: `(n,)` both."""
    if sampling.temperature == 0:
        chosen = log_probabilities.argmax(-1)
    else:
        shares = cut(log_probabilities / sampling.temperature, sampling).softmax(-1)
        chosen = torch.multinomial(shares, 1, generator=random)[:, 0] if len(shares) else shares.new_zeros(0).long()
    return chosen, log_probabilities.gather(-1, chosen[:, None])[:, 0]


def cut(logits: Tensor, sampling: Sampling) -> Tensor:
    """Logits `(n, K)`, those that must not be drawn at minus infinity."""
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(-1, descending=True)
        shares = ordered.softmax(-1)
        beyond = shares.cumsum(-1) - shares >= sampling.top_p
        logits = logits.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), -math.inf)
    return logits


def gumbel(like: Tensor, random: torch.Generator) -> Tensor:
    """Standard Gumbel noise of that shape."""
    uniform = torch.rand(like.shape, generator=random, device=random.device).to(like.device)
    return -(-uniform.clamp(1e-20, 1 - 1e-7).log()).log()
