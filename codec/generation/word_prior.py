"""What generative models have in common as entropy models: words of each plane in integers, and planes of one grid."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from codec.entropy import Known, Layout, Step, batch_bits, percent_more
from codec.entropy.neighbour import as_frames
from codec.generation.exact_words import ExactWords
from codec.generation.model import TokenModel


class WordPrior(ABC, nn.Module):
    """A generative model in integers; a subclass makes `words`, in the order in which its files name its parts, and says the steps.

    Args:
        model: trained.
    """

    words: nn.ModuleList

    def __init__(self, model: TokenModel) -> None:
        super().__init__()
        self.codebook_sizes, self._float_length = model.alphabets, model.code_length

    @abstractmethod
    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """As of `EntropyModel`."""

    def layout(self, grid: tuple[int, ...]) -> Layout:
        """Every plane has the same grid."""
        return Layout((grid,) * len(self.codebook_sizes))

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of int64 planes `(B, *grid)`, summed, by the integers; it is trained as a generative model."""
        return batch_bits(self, planes)

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor]) -> float:
        """The integers are made with the object; returns their cost on planes `(B, *grid)` in percent."""
        frames = torch.stack([as_frames(plane, batched=True) for plane in planes], 1)
        return percent_more(float(self.bits(planes)), float(self._float_length(frames).sum()))

    @property
    def _words(self) -> list[ExactWords]:
        return [cast(ExactWords, words) for words in self.words]


def frames_of(layout: Layout) -> tuple[int, int, int]:
    """Frames, rows and columns of the grid that all planes have.

    Raises:
        ValueError: they have several.
    """
    if len(set(layout.grids)) > 1:
        raise ValueError(f"all planes need the same grid, got {layout.grids}")
    frames, rows, columns = as_frames(torch.empty(layout.grids[0], dtype=torch.int8), batched=False).shape
    return frames, rows, columns
