"""Sub-codebooks that are kept apart: an adapter for each branch, and a penalty where branches say the same.

Bai et al. 2024 (FQGAN), "Factorized Visual Tokenization and Generation", arXiv:2411.16681. The penalty alone is weak, as the vectors
have few dimensions; the paper also has one branch predict features of a frozen network, which is a loss of the training, not of the
quantizer. `Mapped` with `BranchAdapters` before a `Product` with `Disentanglement` makes the whole.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BranchAdapters(nn.Module):
    """Each branch sees the vector through a small network of its own, side by side in the output.

    Args:
        before: width of the input.
        branches: width of each branch.
        hidden: width of each branch's hidden layer; what it adds to the linear map starts at zero.
    """

    def __init__(self, before: int, branches: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(before, sum(branches))
        self.branches = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(before), nn.Linear(before, hidden), nn.GELU(), nn.Linear(hidden, width))
            for width in branches
        )
        for branch in self.branches:
            nn.init.zeros_(branch[-1].weight)  # type: ignore[index]
            nn.init.zeros_(branch[-1].bias)  # type: ignore[index]

    def place(self, x: Tensor) -> Tensor:
        """The linear part sees the vector as it is."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """`(..., before)` to `(..., sum of branches)`."""
        return self.linear(x) + torch.cat([branch(x) for branch in self.branches], -1)


class Disentanglement(nn.Module):
    """Loss `disentanglement`: the mean squared cosine between the vectors of two branches at one position, over all pairs."""

    def forward(self, parts: Sequence[Tensor]) -> dict[str, Tensor]:
        """Vectors `(..., d)` of at least two branches of one width."""
        widths = {part.shape[-1] for part in parts}
        if len(parts) < 2 or len(widths) != 1:
            raise ValueError(f"need at least two branches of one width, got {[part.shape[-1] for part in parts]}")
        units = [F.normalize(part, dim=-1) for part in parts]
        cosines = [(a * b).sum(-1).square().mean() for a, b in combinations(units, 2)]
        return {"disentanglement": torch.stack(cosines).mean()}
