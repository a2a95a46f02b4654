"""What the families of generative models share: words of each plane, and where they begin."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

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
