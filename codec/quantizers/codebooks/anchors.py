"""Where an unused codeword is drawn to: the nearest vector of the batch, a random one, or one drawn by nearness.

Zheng, Vedaldi 2023, "Online Clustered Codebook" (CVQ-VAE), arXiv:2307.15139.
"""

from typing import Protocol

import torch
from torch import Tensor

from codec.quantizers.search import nearest
from codec.quantizers.soft import score_blocks


class Anchor(Protocol):
    """A vector for each codeword that is to move."""

    def __call__(self, e: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """`(n, D)` codewords and `(N, D)` vectors, N at least 1, to `(n, D)` of the vectors."""


class ClosestAnchor:
    """The nearest vector; several codewords may share one."""

    def __call__(self, e: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """`(n, D)` of the vectors."""
        return z[nearest(e, z)]


class RandomAnchor:
    """Any vector, each once while they last."""

    def __call__(self, e: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """`(n, D)` of the vectors."""
        order = torch.randperm(len(z), generator=generator)
        return z[order.repeat(-(-len(e) // len(z)))[: len(e)].to(z.device)]


class ProbableAnchor:
    """A vector drawn by the softmax of minus the squared distances, which are computed in blocks."""

    def __call__(self, e: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """`(n, D)` of the vectors."""
        chances = (torch.cdist(block, z).square().neg().softmax(1).cpu() for _, block in score_blocks(e, len(z)))
        drawn = [torch.multinomial(block, 1, generator=generator).squeeze(1) for block in chances]
        return z[torch.cat(drawn).to(z.device)]
