"""A masked model as an entropy model: the same network in integers, asked in a fixed order of positions.

Mentzer et al. 2023, "M2T: Masking Transformers Twice for Faster Decoding", arXiv:2304.07313: a fixed order codes as well as one by
confidence, which floats could not agree on.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy import Frequencies, Known, Layout, Numbering, Step, batch_bits, percent_more
from codec.entropy.exact_transformer import STREAM_BITS, ExactGridTransformer, ExactLinear
from codec.entropy.keys import QUERY_BITS
from codec.entropy.neighbour import PRECISION, as_frames
from codec.entropy.plane_prior import EMBEDDING_BITS
from codec.entropy.tables import LOGIT_BITS, frequencies_from_logits
from codec.generation.masked import MaskedModel
from codec.generation.patterns import EMPTY
from codec.generation.words import BitWords, TableWords

Integers = NDArray[np.int64]


class ExactWords(Protocol):
    """Twin of a model's words of one plane, or of one digit of a plane."""

    def embed(self, codes: Tensor) -> Tensor:
        """int64 `(n,)`, `EMPTY` where not known, to integer-valued float64 `(n, dim)`."""

    def steps(self, hidden: Tensor, where: Integers, known: Known) -> Iterator[Step]:
        """What to code at these positions, whose rows `(n, dim)` the network made."""

    def coded(self, where: Integers, known: Known) -> Tensor:
        """What was coded there, int64 `(n,)`."""


class ExactTable(nn.Module):
    """Twin of `TableWords`.

    Args:
        words: trained.
        plane: whose codes they are.
        gain: of the network's last norm.
    """

    def __init__(self, words: TableWords, plane: int, gain: Tensor) -> None:
        super().__init__()
        self.plane, self.table, self.digits = plane, copy.deepcopy(words.table), copy.deepcopy(words.digits)
        self.table.freeze()
        self.digits.freeze_keys()
        self.enter = ExactLinear(words.enter, input_bits=EMBEDDING_BITS)
        self.leave = ExactLinear(words.leave, gain, output_bits=QUERY_BITS)

    def embed(self, codes: Tensor) -> Tensor:
        """As of `ExactWords`."""
        embedded: Tensor = self.enter(self.table.integers.cpu()[codes - EMPTY].double())
        return embedded

    def steps(self, hidden: Tensor, where: Integers, known: Known) -> Iterator[Step]:
        """As of `ExactWords`: digit by digit."""
        queries = self.leave(hidden).long().chunk(len(self.digits.radices), 1)
        found = [query.contiguous().numpy() for query in queries]
        for digit in self.digits.digits(found, where, known.codes[self.plane]):
            yield Step(self.plane, where, digit.tables, None, digit.radix, digit.place, self.digits.numbering)

    def coded(self, where: Integers, known: Known) -> Tensor:
        """As of `ExactWords`."""
        return torch.from_numpy(known.codes[self.plane][where])


class ExactBits(nn.Module):
    """Twin of `BitWords`, of one digit of the ranks of a plane's codes.

    Args:
        words: trained.
        plane: whose codes they are.
        place: worth of one unit of the digit.
        numbering: ranks of the codes.
        gain: of the network's last norm.
    """

    def __init__(self, words: BitWords, plane: int, place: int, numbering: Numbering, gain: Tensor) -> None:
        super().__init__()
        self.plane, self.place, self.radix, self.numbering = plane, place, words.alphabet, numbering
        self.bits = words.bits
        self.enter = ExactLinear(words.enter, input_bits=0)
        self.leave = ExactLinear(words.leave, gain, output_bits=LOGIT_BITS)

    def embed(self, codes: Tensor) -> Tensor:
        """As of `ExactWords`."""
        signs = 2 * (codes.clamp_min(0)[:, None] >> torch.arange(self.bits) & 1) - 1
        embedded: Tensor = self.enter((signs * (codes != EMPTY)[:, None]).double())
        return embedded

    def steps(self, hidden: Tensor, where: Integers, known: Known) -> Iterator[Step]:
        """As of `ExactWords`: one."""
        tables = Frequencies(frequencies_from_logits(self.leave(hidden).long().numpy(), PRECISION), PRECISION)
        yield Step(self.plane, where, tables, None, self.radix, self.place, self.numbering)

    def coded(self, where: Integers, known: Known) -> Tensor:
        """As of `ExactWords`; once the last digit is there, the code stands in place of the rank so far."""
        found = known.codes[self.plane][where]
        ranks = self.numbering.ranks[found] if self.place == 1 else found
        return torch.from_numpy(ranks // self.place % self.radix)


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
