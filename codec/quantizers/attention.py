"""A map of single positions whose groups of channels attend to each other: UniTok's attention projection.

Ma et al. 2025, "UniTok: A Unified Tokenizer for Visual Generation and Understanding", arXiv:2502.20321.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class AttentionMap(nn.Module):
    """`y = linear(n) + attention(n)` with n the normalised vector, then `y + mlp(normalised y)`; attention and mlp start at zero.

    The wide side is cut into tokens as wide as the narrow side. Going down, what the tokens make of each other is averaged;
    going up, it is set side by side. The published map attends over the positions of a picture; here every position stays by
    itself, as a code must not depend on its neighbours; positions mix in the backbone.

    Args:
        before: width of the input.
        after: width of the output; the wider of the two must be a multiple of the other.
        expansion: width of the gated layer in the mlp, in widths of the output.
    """

    def __init__(self, before: int, after: int, expansion: int = 2) -> None:
        super().__init__()
        narrow, wide = sorted((before, after))
        if wide % narrow:
            raise ValueError(f"the wider side must be a multiple of the narrower, got {before} and {after}")
        self.token = narrow
        self.linear = nn.Linear(before, after)
        self.norm, self.second_norm = nn.LayerNorm(before), nn.LayerNorm(after)
        self.attended = nn.Linear(before, 3 * wide, bias=False)  # queries, keys, values
        self.merge = nn.Linear(after, after)
        self.gated, self.contract = nn.Linear(after, 2 * expansion * after), nn.Linear(expansion * after, after)
        for layer in (self.merge, self.contract):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def place(self, x: Tensor) -> Tensor:
        """What the linear part sees."""
        return self.norm(x)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., before)` to `(..., after)`."""
        placed = self.place(x)
        y = self.linear(placed) + self.merge(self._attend(placed))
        value, gate = self.gated(self.second_norm(y)).chunk(2, -1)
        return y + self.contract(value * F.gelu(gate))

    def _attend(self, placed: Tensor) -> Tensor:
        """Tokens inside each position: softmax attention, then their mean or all of them, whichever is `after` wide."""
        q, k, v = self.attended(placed).unflatten(-1, (3, -1, self.token)).unbind(-3)
        weights = torch.softmax(q @ k.transpose(-1, -2) / self.token**0.5, -1)
        tokens = weights @ v
        return tokens.mean(-2) if self.merge.in_features == self.token else tokens.flatten(-2)
