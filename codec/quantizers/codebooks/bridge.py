"""Codewords as the output of a small transformer over the whole table: every code learns from every other.

Chang et al. 2025, "Scalable Training for Vector-Quantized Networks with 100% Codebook Utilization" (FVQ), arXiv:2509.10140.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers.codebooks.moments import match_moments
from codec.quantizers.codebooks.parameterisation import Parameterisation

SPREAD = 0.02  # deviation of the last layer's first weights; the published zero makes all codewords equal at first


class Bridge(Parameterisation):
    """Compress groups of rows to tokens, process them with transformer blocks, recover rows.

    The paper arranges the rows as a square image and cuts it into patches; as no token knows its place, a patch is any group
    of rows, and consecutive ones serve. Memory and time grow with (K / group)^2; in eval the codewords are computed once.
    The paper trains it with a rate that is constant for 30 % of the steps and then falls linearly to 1 %.

    Args:
        dim: D.
        group: rows per token, 16 in the paper up to K = 16 384 and 64 above.
        width: of the tokens.
        heads: of attention; a divisor of `width`.
        depth: transformer blocks.
    """

    placeable = False

    def __init__(self, dim: int, *, group: int = 16, width: int = 256, heads: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.dim, self.group = dim, group
        self.compress = nn.Linear(group * dim, width)
        self.process = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.recover = nn.Linear(width, group * dim)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.recover.weight, std=SPREAD)

    def rows(self, codebook_size: int, dim: int) -> Tensor:
        """Gaussian rows, filled up to whole groups."""
        return super().rows(-(-codebook_size // self.group) * self.group, dim)

    def forward(self, rows: Tensor) -> Tensor:
        """`(K, D)` to `(K, D)`, K a multiple of `group`."""
        tokens = self.process(self.compress(rows.reshape(-1, self.group * self.dim)))
        return self.recover(_normalise(tokens)).reshape(-1, self.dim)

    @torch.no_grad()
    def start(self, rows: Tensor, z: Tensor) -> Tensor:
        """Give the codewords the mean and covariance of `(N, D)` vectors, by the last layer."""
        turn, shift = match_moments(self(rows), z)
        weight = self.recover.weight.unflatten(0, (self.group, self.dim))
        self.recover.weight.copy_((turn @ weight).flatten(0, 1))
        self.recover.bias.copy_((self.recover.bias.unflatten(0, (self.group, self.dim)) @ turn.T + shift).flatten())
        return rows


class Block(nn.Module):
    """Pre-norm attention and a two-layer network of twice the width, on `(tokens, width)`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`(tokens, width)` to the same."""
        parts = self.queries_keys_values(_normalise(tokens)).unflatten(1, (3, self.heads, -1)).permute(1, 2, 0, 3)
        mixed = F.scaled_dot_product_attention(parts[0][None], parts[1][None], parts[2][None])[0]
        tokens = tokens + self.join(mixed.transpose(0, 1).flatten(1))
        return tokens + self.contract(F.gelu(self.expand(_normalise(tokens)), approximate="tanh"))


def _normalise(tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:])
