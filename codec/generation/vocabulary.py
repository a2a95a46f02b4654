"""Codes as the words of a language model: special tokens first, then a range for each plane, or one for each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from codec.errors import BitstreamError
from codec.generation.patterns import EMPTY

SPECIAL = ("pad", "begin", "end")


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of words.

    Attributes:
        alphabets: of the planes.
        special: names of the words that are no codes, numbered from 0; `pad` stands where a pattern has nothing.
        shared: every plane has the same range, for models that know by the row which plane it is; otherwise each has its own.
    """

    alphabets: tuple[int, ...]
    special: tuple[str, ...] = SPECIAL
    shared: bool = False

    def __post_init__(self) -> None:
        if "pad" not in self.special or len(set(self.special)) < len(self.special):
            raise ValueError(f"special words have different names, one of them pad, got {list(self.special)}")

    @property
    def offsets(self) -> tuple[int, ...]:
        """The word of code 0 of each plane."""
        before = [0] * len(self.alphabets) if self.shared else [0, *accumulate(self.alphabets[:-1])]
        return tuple(len(self.special) + offset for offset in before)

    @property
    def size(self) -> int:
        """How many words there are."""
        return len(self.special) + (max(self.alphabets) if self.shared else sum(self.alphabets))

    def number(self, special: str) -> int:
        """Of a special word."""
        return self.special.index(special)

    def words(self, codes: Tensor, planes: Tensor) -> Tensor:
        """Codes `(..., steps, rows)`, of these planes `(steps, rows)` as a pattern places them, to words."""
        offsets = torch.tensor(self.offsets)[planes.clamp_min(0)]
        return (codes + offsets).masked_fill(planes == EMPTY, self.number("pad"))

    def codes(self, words: Tensor, planes: Tensor) -> Tensor:
        """The way back; what stands where the pattern has nothing does not matter.

        Raises:
            BitstreamError: a word stands for no code of its plane.
        """
        offsets, sizes = (torch.tensor(values)[planes.clamp_min(0)] for values in (self.offsets, self.alphabets))
        codes = words - offsets
        wrong = ((codes < 0) | (codes >= sizes)) & (planes != EMPTY)
        if bool(wrong.any()):
            *_, step, row = wrong.nonzero()[0].tolist()
            plane = int(planes[step, row])
            low, high = self.offsets[plane], self.offsets[plane] + self.alphabets[plane] - 1
            raise BitstreamError(
                f"word {int(words[wrong][0])} at step {step} is no code of plane {plane}, which are {low}..{high}"
            )
        return codes.masked_fill(planes == EMPTY, EMPTY)

    def logit_mask(self, planes: Sequence[int]) -> Tensor:
        """For each plane, which words are its codes: bool `(planes, size)`."""
        words = torch.arange(self.size)
        lows = torch.tensor([self.offsets[plane] for plane in planes])[:, None]
        sizes = torch.tensor([self.alphabets[plane] for plane in planes])[:, None]
        return (words >= lows) & (words < lows + sizes)
