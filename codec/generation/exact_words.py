"""Words of a generative model in integers: what its coder reads of codes that are known, and says of those that are not."""

import copy
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy import Frequencies, Known, Numbering, Step
from codec.entropy.exact_transformer import ExactLinear
from codec.entropy.keys import QUERY_BITS
from codec.entropy.neighbour import PRECISION
from codec.entropy.plane_prior import EMBEDDING_BITS
from codec.entropy.tables import LOGIT_BITS, frequencies_from_logits
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
        gain: of the network's last norm; None where what comes is multiplied by it already.
    """

    def __init__(self, words: TableWords, plane: int, gain: Tensor | None = None) -> None:
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
        gain: of the network's last norm; None where what comes is multiplied by it already.
    """

    def __init__(
        self, words: BitWords, plane: int, place: int, numbering: Numbering, gain: Tensor | None = None
    ) -> None:
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
