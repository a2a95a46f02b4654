"""What the families of generative models share: words of each plane, and where they begin."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from codec.generation.conditions import NOTHING, Condition
from codec.generation.patterns import EMPTY
from codec.generation.sampling import Sampling, draw, guided
from codec.generation.words import Words


class WordModel(nn.Module):
    """A model with words for each plane.

    Args:
        words: of each plane.
    """

    def __init__(self, words: Sequence[Words]) -> None:
        super().__init__()
        self.words = nn.ModuleList(cast(nn.Module, plane) for plane in words)
        self.alphabets = tuple(plane.alphabet for plane in words)

    def start(self, vectors: Sequence[Tensor], counts: Sequence[Tensor]) -> None:
        """As of `TokenModel`."""
        for plane, means, hits in zip(self._words, vectors, counts, strict=True):
            plane.start(means, hits)

    @property
    def _words(self) -> list[Words]:
        return [cast(Words, plane) for plane in self.words]


class CausalModel(ABC, WordModel):
    """A model that sees only what comes before, so that its code lengths are exact and are what it is trained for."""

    def loss(self, codes: Tensor, condition: Condition, random: torch.Generator) -> Tensor:
        """As of `TokenModel`, exact."""
        return self._bits(codes, condition).sum() / (codes != EMPTY).sum()

    @torch.no_grad()
    def code_length(self, codes: Tensor, condition: Condition = NOTHING) -> Tensor:
        """As of `TokenModel`, exact; codes that are `EMPTY`, where a model takes such, count nothing."""
        return self._bits(codes, condition)

    @abstractmethod
    def _bits(self, codes: Tensor, condition: Condition) -> Tensor:
        """Of each of the B, differentiable."""

    def _filled(
        self, q: int, codes: Tensor, hidden: Sequence[Tensor], sampling: Sampling, random: torch.Generator
    ) -> Tensor:
        """Codes `(B,)` of plane q, drawn from what the network made, told something and nothing, where they are `EMPTY`."""
        found = guided([self._words[q].log_probabilities(one) for one in hidden], sampling.guidance)
        return torch.where(codes == EMPTY, draw(found, sampling, random)[0], codes)
