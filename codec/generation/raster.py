"""Codes of a grid in raster order, each predicted from those near it that come before: a causal model for grids of any size.

Van den Oord et al. 2016, "Pixel Recurrent Neural Networks", arXiv:1601.06759, for the order; Parmar et al. 2018, "Image Transformer",
arXiv:1802.05751, for attention to what is near. Nothing depends on absolute places, so that grids may be larger than those of training.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.generation.conditions import NOTHING, Condition, Conditions, told_apart
from codec.generation.sampling import Sampling
from codec.generation.word_model import CausalModel
from codec.generation.words import Words
from codec.nn import RasterTransformer
from codec.nn.norms import RMSNorm
from codec.nn.transformer import NORM_FLOOR, GatedFeedForward


class RasterModel(CausalModel):
    """Predicts position by position, at each plane by plane.

    The network reads a row as a vector for its beginning and then its codes, and says at each what comes next in the row.

    Args:
        words: of each plane.
        trunk: the network.
        conditions: what it may be told; None for nothing.
    """

    def __init__(
        self, words: Sequence[Words], trunk: RasterTransformer, *, conditions: Conditions | None = None
    ) -> None:
        super().__init__(words)
        self.trunk, self.conditions = trunk, conditions or Conditions(trunk.dim)
        self.begin = nn.Parameter(0.02 * torch.randn(trunk.dim))
        self.finer = nn.ModuleList(FinerPlane(trunk.dim) for _ in words[1:])

    @torch.no_grad()
    def generate(
        self,
        given: Tensor,
        condition: Condition = NOTHING,
        sampling: Sampling | None = None,
        *,
        random: torch.Generator,
    ) -> Tensor:
        """As of `TokenModel`; a given code is seen by those that come later only."""
        sampling, (batch, _, rows, columns) = sampling or Sampling(), given.shape
        told = [self._told(one, batch, (rows, columns)) for one in told_apart(condition, sampling.guidance)]
        caches, codes = [self.trunk.new_cache() for _ in told], given.clone()
        for row in range(rows):
            seen = self.begin.expand(batch, -1)
            for column in range(columns + 1):
                entered = [(seen + one[:, row, column])[:, None] for one in told]
                hidden = [self.trunk(x, columns + 1, cache)[:, 0] for x, cache in zip(entered, caches, strict=True)]
                if column < columns:
                    seen = self._position(codes[:, :, row, column], hidden, sampling, random)
        return codes

    def _position(self, codes: Tensor, hidden: list[Tensor], sampling: Sampling, random: torch.Generator) -> Tensor:
        """Fill the codes `(B, Q)` of a position; returns their summed vectors."""
        total = torch.zeros_like(hidden[0])
        for q, words in enumerate(self._words):
            found = [self._at(q, one, total) for one in hidden]
            codes[:, q] = self._filled(q, codes[:, q], found, sampling, random)
            total = total + words.embed(codes[:, q])
        return total

    def _bits(self, codes: Tensor, condition: Condition) -> Tensor:
        """`(B,)`."""
        batch, _, rows, columns = codes.shape
        parts = [words.embed(plane) for words, plane in zip(self._words, codes.unbind(1), strict=True)]
        sums = torch.stack(parts).cumsum(0)  # (Q, B, rows, columns, dim)
        begun = torch.cat([self.begin.expand(batch, rows, 1, -1), sums[-1]], 2)
        entered = begun + self._told(condition, batch, (rows, columns))
        hidden = self.trunk(entered.flatten(1, 2), columns + 1).view_as(begun)[:, :, :-1]
        total = torch.zeros(batch, device=codes.device)
        for q, words in enumerate(self._words):
            found = self._at(q, hidden, sums[q - 1])
            bits = words.code_bits(found.flatten(0, 2), codes[:, q].flatten())
            total = total + bits.view(batch, -1).sum(1)
        return total

    def _at(self, q: int, hidden: Tensor, coarser: Tensor) -> Tensor:
        """What plane q is predicted from: what the network made, and the summed vectors of the coarser codes there."""
        return self.finer[q - 1](hidden, coarser) if q else hidden

    def _told(self, condition: Condition, batch: int, grid: tuple[int, int]) -> Tensor:
        """`(B, rows, columns + 1, dim)`: of the code that is predicted next; nothing behind the last."""
        told = self.conditions(condition, batch, grid)
        if not isinstance(told, Tensor):
            told = self.begin.new_zeros(len(self.begin))
        return F.pad(told.expand(batch, *grid, -1), (0, 0, 0, 1))


class FinerPlane(nn.Module):
    """What a plane is predicted from once the coarser ones of its position are known.

    Args:
        dim: channels of the network.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.feed = RMSNorm(dim, NORM_FLOOR), GatedFeedForward(dim, dim // 2)

    def forward(self, hidden: Tensor, coarser: Tensor) -> Tensor:
        """`(..., dim)` both to the same."""
        return hidden + self.feed(self.norm(hidden + coarser))
