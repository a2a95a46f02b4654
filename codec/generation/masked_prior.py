"""A masked model as an entropy model: the same network in integers, asked in a fixed order of positions.

Mentzer et al. 2023, "M2T: Masking Transformers Twice for Faster Decoding", arXiv:2304.07313: a fixed order codes as well as one by
confidence, which floats could not agree on.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import nn

from codec.entropy import Known, Layout, Numbering, Step
from codec.entropy.exact_transformer import STREAM_BITS, ExactGridTransformer
from codec.generation.exact_words import ExactBits, ExactTable, ExactWords
from codec.generation.masked import MaskedModel
from codec.generation.patterns import EMPTY
from codec.generation.word_prior import WordPrior, frames_of
from codec.generation.words import BitWords, TableWords


class MaskedPrior(WordPrior):
    """A trained `MaskedModel` that codes tokens: plane by plane, in each pass by pass of its fixed order.

    Each pass runs the network once over the whole grid, so it is slow beside the priors that checkpoints bring.

    Args:
        model: trained; its conditions are not told.
    """

    def __init__(self, model: MaskedModel) -> None:
        super().__init__(model)
        self.passes = model.passes
        self.trunk = ExactGridTransformer(model.trunk)
        self.words = nn.ModuleList(cast(nn.Module, words) for words in _twins(model))
        with torch.no_grad():
            untold = model.conditions.untold().double().cpu()
        self.register_buffer("untold", torch.round(untold * (1 << STREAM_BITS)).long(), persistent=False)

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """In the fixed order; where digits are masked by themselves, digit by digit."""
        frames, rows, columns = frames_of(layout)
        unknown = [words.embed(torch.tensor([EMPTY]))[0] for words in self._words]
        seen = (torch.stack(unknown).sum(0) + self.get_buffer("untold")).repeat(frames * rows * columns, 1)
        for words, nothing in zip(self._words, unknown, strict=True):
            for one in self.passes:
                frame, row, column = one.positions((frames, rows, columns))
                places = (frame * rows + row) * columns + column
                if not len(places):
                    continue
                hidden = self.trunk(seen.view(frames, rows, columns, -1)).flatten(0, 2)[places]
                where = places.numpy()
                yield from words.steps(hidden, where, known)
                seen[places] += words.embed(words.coded(where, known)) - nothing


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
