"""RQ-Transformer: a causal transformer over positions, and at each a small one over the planes of its codes.

Lee et al. 2022, "Autoregressive Image Generation using Residual Quantization", arXiv:2203.01941.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codec.generation.conditions import NOTHING, Condition, Conditions, told_apart
from codec.generation.patterns import Parallel
from codec.generation.sampling import Sampling
from codec.generation.targets import Targets
from codec.generation.word_model import CausalModel
from codec.generation.words import Words
from codec.nn import Cache, SequenceTransformer


class ResidualTransformer(CausalModel):
    """Predicts position by position, at each plane by plane; what a plane sees of its position is the sum of the coarser codes.

    Args:
        words: of each plane.
        trunk: over positions.
        depth: over planes, of as many channels.
        conditions: what it may be told; None for nothing.
    """

    def __init__(
        self,
        words: Sequence[Words],
        trunk: SequenceTransformer,
        depth: SequenceTransformer,
        *,
        conditions: Conditions | None = None,
    ) -> None:
        super().__init__(words)
        if trunk.dim != depth.dim:
            raise ValueError(f"both transformers need as many channels, got {trunk.dim} and {depth.dim}")
        self.trunk, self.depth = trunk, depth
        self.targets = Targets(trunk.dim, 1, conditions or Conditions(trunk.dim))
        self.begin = nn.Parameter(0.02 * torch.randn(trunk.dim))
        self.levels = nn.Parameter(0.02 * torch.randn(len(words), trunk.dim))

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
        caches, flat = [self.trunk.new_cache() for _ in told], given.flatten(2).clone()
        before = self.begin.expand(batch, -1)
        for i in range(rows * columns):
            hidden = [
                self.trunk((before + target[:, i])[:, None], cache) for target, cache in zip(told, caches, strict=True)
            ]
            before = self._position(flat[:, :, i], hidden, sampling, random)
        return flat.view_as(given)

    def _position(self, codes: Tensor, hidden: list[Tensor], sampling: Sampling, random: torch.Generator) -> Tensor:
        """Fill the codes `(B, Q)` of a position; returns their summed vectors."""
        caches, total = [Cache() for _ in hidden], torch.zeros_like(hidden[0][:, 0])
        for q, words in enumerate(self._words):
            steps = [one if q == 0 else total[:, None] for one in hidden]
            found = [self.depth(x + self.levels[q], cache)[:, 0] for x, cache in zip(steps, caches, strict=True)]
            codes[:, q] = self._filled(q, codes[:, q], found, sampling, random)
            total = total + words.embed(codes[:, q])
        return total

    def _bits(self, codes: Tensor, condition: Condition) -> Tensor:
        batch, _, rows, columns = codes.shape
        flat = codes.flatten(2)
        sums = torch.stack([words.embed(plane) for words, plane in zip(self._words, flat.unbind(1), strict=True)], 2)
        sums = sums.cumsum(2)  # (B, N, Q, dim)
        shifted = torch.cat([self.begin.expand(batch, 1, -1), sums[:, :-1, -1]], 1)
        hidden = self.trunk(shifted + self._told(condition, batch, (rows, columns)))
        steps = torch.cat([hidden[:, :, None], sums[:, :, :-1]], 2) + self.levels
        found = self.depth(steps.flatten(0, 1)).unflatten(0, (batch, -1))
        total = torch.zeros(batch, device=codes.device)
        for q, words in enumerate(self._words):
            bits = words.code_bits(found[:, :, q].flatten(0, 1), flat[:, q].flatten())
            total = total + bits.view(batch, -1).sum(1)
        return total

    def _told(self, condition: Condition, batch: int, grid: tuple[int, int]) -> Tensor:
        told: Tensor = self.targets(Parallel().places([grid]), condition, batch, grid)
        return told

    @property
    def conditions(self) -> Conditions:
        """What it may be told."""
        return self.targets.conditions
