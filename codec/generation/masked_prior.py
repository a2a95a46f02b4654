"""A masked model as an entropy model: the same network in integers, asked in a fixed order of positions.

Mentzer et al. 2023, "M2T: Masking Transformers Twice for Faster Decoding", arXiv:2304.07313: a fixed order codes as well as one by
confidence, which floats could not agree on.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from codec.entropy import Known, Layout, Numbering, Step, batch_bits, percent_more
from codec.entropy.exact_transformer import STREAM_BITS, ExactGridTransformer
from codec.entropy.neighbour import as_frames
from codec.generation.exact_words import ExactBits, ExactTable, ExactWords
from codec.generation.masked import MaskedModel
from codec.generation.patterns import EMPTY
from codec.generation.words import BitWords, TableWords


class MaskedPrior(nn.Module):
    """A trained `MaskedModel` that codes tokens: plane by plane, in each pass by pass of its fixed order.

    Each pass runs the network once over the whole grid, so it is slow beside the priors that checkpoints bring.

    Args:
        model: trained; its conditions are not told.
    """

    def __init__(self, model: MaskedModel) -> None:
        super().__init__()
        self.codebook_sizes, self.passes = model.alphabets, model.passes
        self._float_length = model.code_length
        self.trunk = ExactGridTransformer(model.trunk)
        self.words = nn.ModuleList(cast(nn.Module, words) for words in _twins(model))
        with torch.no_grad():
            untold = model.conditions.untold().double().cpu()
        self.register_buffer("untold", torch.round(untold * (1 << STREAM_BITS)).long(), persistent=False)

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

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """In the fixed order; where digits are masked by themselves, digit by digit."""
        if len(set(layout.grids)) > 1:
            raise ValueError(f"all planes need the same grid, got {layout.grids}")
        shape = as_frames(torch.empty(layout.grids[0], dtype=torch.int8), batched=False).shape
        unknown = [words.embed(torch.tensor([EMPTY]))[0] for words in self._words]
        seen = (torch.stack(unknown).sum(0) + self.get_buffer("untold")).repeat(shape.numel(), 1)
        for words, nothing in zip(self._words, unknown, strict=True):
            for one in self.passes:
                frame, row, column = one.positions((shape[0], shape[1], shape[2]))
                places = (frame * shape[1] + row) * shape[2] + column
                if not len(places):
                    continue
                hidden = self.trunk(seen.view(*shape, -1)).flatten(0, 2)[places]
                where = places.numpy()
                yield from words.steps(hidden, where, known)
                seen[places] += words.embed(words.coded(where, known)) - nothing

    @property
    def _words(self) -> list[ExactWords]:
        return [cast(ExactWords, words) for words in self.words]


def _twins(model: MaskedModel) -> Iterator[ExactWords]:
    """Of the words of a model, in its order."""
    gain, words = model.trunk.norm.weight, list(model.words)
    if model.digits is None:
        for plane, one in enumerate(words):
            yield ExactTable(cast(TableWords, one), plane, gain)
        return
    for one, (plane, place, ranks) in zip(words, model.digits.all_digits(), strict=True):
        found = ranks.cpu().numpy()
        yield ExactBits(cast(BitWords, one), plane, place, Numbering(found, np.argsort(found)), gain)
