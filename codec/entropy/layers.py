"""The float layers whose integer twins exact.py knows, where torch has none that fit."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAKY_NUMERATOR, LEAKY_SHIFT = 5, 9
LEAKY_SLOPE = LEAKY_NUMERATOR / (1 << LEAKY_SHIFT)  # below zero; about 0.01, and a shift in integers


class SummedEmbedding(nn.Module):
    """One learned vector for each value of each of several symbols, added up: what a network sees of codes.

    Args:
        sizes: alphabet of each symbol.
        dim: of the vectors.
    """

    offsets: Tensor  # int64 (symbols,): first row of each symbol's vectors

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.sizes, self.dim = tuple(sizes), dim
        self.weight = nn.Parameter(torch.randn(sum(sizes), dim))
        first = list(accumulate(sizes, initial=0))[:-1]
        self.register_buffer("offsets", torch.tensor(first), persistent=False)

    def forward(self, symbols: Tensor) -> Tensor:
        """int64 `(B, symbols, *grid)` to `(B, dim, *grid)`."""
        return sum_vectors(symbols, self.weight, self.offsets)


def sum_vectors(symbols: Tensor, weight: Tensor, offsets: Tensor) -> Tensor:
    """`SummedEmbedding` with the given weights, of any dtype."""
    rows = symbols.movedim(1, -1) + offsets
    return F.embedding(rows, weight).sum(-2).movedim(-1, 1)


def leaky_sequential(*layers: nn.Module) -> nn.Sequential:
    """Layers with a leaky rectifier after each but the last one with weights, and after no embedding."""
    mixed: list[nn.Module] = []
    for layer in layers:
        bare = isinstance(layer, SummedEmbedding | nn.PixelShuffle)
        mixed += [layer] if bare else [layer, nn.LeakyReLU(LEAKY_SLOPE)]
    last = max(i for i, layer in enumerate(mixed) if isinstance(layer, nn.LeakyReLU))
    return nn.Sequential(*mixed[:last], *mixed[last + 1 :])
