"""A weighted sum in which weights are shares of the gradient that reaches the decoded samples, whatever the scale of each term.

Défossez et al. 2022, "High Fidelity Neural Audio Compression", arXiv:2210.13438, section 3.4.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from codec.quantizers.processes import sum_over_processes
from codec.training.losses import check_weights


class BalancedSum(nn.Module):
    """The training loss where losses of many kinds pull at one decoded sound.

    The gradient `g_i` of each balanced term with respect to the decoded samples is divided by the running mean of its norm:
    what reaches the decoder is `strength * sum_i share_i * g_i / mean|g_i|`, where shares are weights over their sum. The norm is
    the L2 norm of one example's gradient, its mean taken over the batch. A term whose gradient is zero, as that of a
    discriminator that is not heard yet, contributes nothing and leaves its running mean alone.

    The value is the plain weighted sum of all terms, for logs; the gradient is as above plus that of the other terms. One backward
    pass through each balanced term happens here, so the decoder itself is passed once.

    Args:
        balanced: weights of the terms that are balanced, by name; each must depend on the decoded samples.
        weights: of all other terms, as in `WeightedSum`: what the quantizer or a discriminator learns by.
        decay: of the running means, a step; they are free of bias from the first step on.
        strength: norm of the combined gradient if all terms pull one way.
    """

    totals: Tensor  # (n,) decayed sums of gradient norms
    counts: Tensor  # (n,) decayed numbers of steps in them

    def __init__(
        self,
        balanced: Mapping[str, float],
        weights: Mapping[str, float],
        *,
        decay: float = 0.999,
        strength: float = 1.0,
    ) -> None:
        super().__init__()
        if balanced.keys() & weights.keys():
            raise ValueError(f"terms have two weights: {sorted(balanced.keys() & weights.keys())}")
        if not balanced or min(balanced.values()) < 0 or sum(balanced.values()) <= 0:
            raise ValueError(f"balanced weights are shares, none negative and some positive, got {dict(balanced)}")
        self.balanced, self.weights = dict(balanced), dict(weights)
        self.decay, self.strength = decay, strength
        self.register_buffer("totals", torch.zeros(len(self.balanced)))
        self.register_buffer("counts", torch.zeros(len(self.balanced)))

    def forward(self, terms: Mapping[str, Tensor], decoded: Tensor) -> Tensor:
        """Scalars by name, and the samples `(B, …)` that they judge, to one scalar."""
        weights = self.balanced | self.weights
        check_weights(weights, terms)
        gradients = [_gradient(name, terms[name], decoded) for name in self.balanced]
        shares = decoded.new_tensor(list(self.balanced.values())) / sum(self.balanced.values())
        factors = self.strength * shares / self._mean_norms(gradients)
        pull = (decoded * torch.tensordot(factors, torch.stack(gradients), dims=1)).sum()
        plain = sum((weight * terms[name] for name, weight in self.weights.items()), pull - pull.detach())
        return plain + sum(weight * terms[name].detach() for name, weight in self.balanced.items())

    @torch.no_grad()
    def _mean_norms(self, gradients: list[Tensor]) -> Tensor:
        """Running means `(n,)`, after this step in training; 1 for terms that never had a gradient."""
        norms = torch.stack([gradient.flatten(1).norm(dim=1).mean() for gradient in gradients])
        summed = sum_over_processes(torch.cat([norms, norms.new_ones(1)]))
        norms = summed[:-1] / summed[-1]
        if self.training:
            seen = norms.isfinite() & (norms > 0)
            self.totals.copy_(torch.where(seen, self.decay * self.totals + norms, self.totals))
            self.counts.copy_(torch.where(seen, self.decay * self.counts + 1, self.counts))
        return torch.where(self.counts > 0, self.totals / self.counts, torch.ones_like(self.totals))


def _gradient(name: str, term: Tensor, decoded: Tensor) -> Tensor:
    """Of one term with respect to the decoded samples, the same shape."""
    if term.requires_grad and decoded.requires_grad:
        (gradient,) = torch.autograd.grad(term, decoded, retain_graph=True, allow_unused=True)
        if gradient is not None:
            return gradient
    raise ValueError(
        f"the term {name!r} does not depend on the decoded samples, so it cannot be balanced; give it a plain weight"
    )
