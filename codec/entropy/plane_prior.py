"""The learned parts of one plane of a lattice prior: vectors for its codes, a network for each pass, keys for each digit."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.entropy.base import Frequencies, Numbering
from codec.entropy.exact import IntegerNetwork
from codec.entropy.keys import QUERY_BITS, DigitKeys, Integers
from codec.entropy.layers import leaky_sequential
from codec.entropy.neighbour import PRECISION, floored_bits
from codec.entropy.numbering import principal_order
from codec.entropy.tables import frequencies_from_logits

EMBEDDING_BITS = 10  # embedded codes are integers in 1/1024, in 16 bits


@dataclass(frozen=True)
class DigitTables:
    """One digit of the codes of a pass."""

    tables: Frequencies
    radix: int
    place: int


class CodeEmbedding(nn.Module):
    """A learned vector for each code and for what is unknown, and the same in integers.

    Args:
        codebook_size: K; symbol 0 is unknown, symbol 1 + k is code k.
        dim: of the vectors.
        stored: as of `DigitKeys`.
    """

    integers: Tensor  # int16 (1 + K, dim) in 2^-EMBEDDING_BITS

    def __init__(self, codebook_size: int, dim: int, *, stored: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(1 + codebook_size, dim))
        self.register_buffer("integers", torch.zeros(1 + codebook_size, dim, dtype=torch.int16), stored)

    @torch.no_grad()
    def start(self, vectors: Tensor) -> None:
        """Embed the codes as the strongest principal components of their vectors `(K, D)`, of unit variance overall."""
        centred = (vectors - vectors.mean(0)) / vectors.std().clamp_min(1e-6)
        directions = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, : self.weight.shape[1]]
        self.weight.zero_()
        self.weight[1:, : directions.shape[1]] = (centred @ directions).to(self.weight)

    def freeze(self) -> None:
        """Round the vectors to integers."""
        limit = (1 << 15) - 1
        self.integers.copy_((self.weight * (1 << EMBEDDING_BITS)).round().clamp(-limit, limit))

    def forward(self, symbols: Tensor) -> Tensor:
        """int64 `(...)` to floats `(..., dim)`."""
        return F.embedding(symbols, self.weight)


class CodeDigits(nn.Module):
    """Codes as digits, the highest first, each with a softmax of its own: products of queries with keys.

    Args:
        radices: of the digits, lowest place first; their product is the alphabet.
        key_dim: of queries and keys.
        stored: as of `DigitKeys`.
    """

    ranks: Tensor  # int32 (K,): rank of each code

    def __init__(self, radices: Sequence[int], key_dim: int, *, stored: bool = True) -> None:
        super().__init__()
        self._make_digits(radices, key_dim, stored=stored)

    def _make_digits(self, radices: Sequence[int], key_dim: int, *, stored: bool = True) -> None:
        size = math.prod(radices)
        self.radices, self._places = tuple(radices), [math.prod(radices[:i]) for i in range(len(radices))]
        self._order = tuple(reversed(range(len(radices))))  # highest place first
        self.keys = nn.ModuleList(
            DigitKeys(size // (radix * place), radix, key_dim, stored=stored)
            for radix, place in zip(self.radices, self._places, strict=True)
        )
        self.register_buffer("ranks", torch.arange(size, dtype=torch.int32))

    @torch.no_grad()
    def start(self, vectors: Tensor | None, counts: Tensor) -> None:
        """Number codes of several digits by their vectors `(K, D)`, unless None; start each digit's tables at hits `(K,)`."""
        if vectors is not None and len(self.radices) > 1:
            self.ranks.copy_(principal_order(vectors.cpu(), self.radices).argsort())
            self.__dict__.pop("numbering", None)
        ranked = torch.zeros(len(counts)).index_add_(0, self.ranks.long().cpu(), counts.float().cpu())
        for keys, place in zip(self._keys, self._places, strict=True):
            keys.start(ranked.view(-1, keys.radix, place).sum(2))

    def code_bits(self, queries: Tensor, codes: Tensor) -> Tensor:
        """Queries `(n, digits key_dim)` and int64 codes `(n,)` to the float code length `(n,)`."""
        parts, ranks = queries.chunk(len(self.radices), 1), self.ranks.long()[codes]
        total = torch.zeros(len(codes), device=codes.device)
        for d in self._order:
            unit = self.radices[d] * self._places[d]
            logits = self._keys[d](parts[d], ranks // unit)
            total = total + floored_bits(logits, ranks % unit // self._places[d])
        return total

    def log_probabilities(self, queries: Tensor) -> Tensor:
        """Queries `(n, digits key_dim)` to the logarithms `(n, K)` of the probabilities of all codes, without any floor."""
        parts, total = queries.chunk(len(self.radices), 1), queries.new_zeros(len(queries), 1)
        for d in self._order:
            total = (total[:, :, None] + self._keys[d].of_all_prefixes(parts[d]).log_softmax(2)).flatten(1)
        return total[:, self.ranks.long()]

    def freeze_keys(self) -> None:
        """Integer keys of all that was trained."""
        for keys in self._keys:
            keys.freeze()

    def digits(self, queries: Sequence[Integers], where: Integers, codes: Integers) -> Iterator[DigitTables]:
        """Tables of each digit at flat positions `where`, the highest first; `codes` fills as the driver goes on."""
        prefix = np.zeros(len(where), np.int64)
        for d in self._order:
            keys, place = self._keys[d], self._places[d]
            frequencies = frequencies_from_logits(keys.logits(queries[d], prefix), PRECISION)
            yield DigitTables(Frequencies(frequencies, PRECISION), keys.radix, place)
            if place > 1:
                prefix = codes[where] // place

    @cached_property
    def numbering(self) -> Numbering | None:
        """The order that the digits count in; None where it is that of the codes."""
        ranks = self.ranks.cpu().numpy().astype(np.int64)
        if np.array_equal(ranks, np.arange(len(ranks))):
            return None
        return Numbering(ranks, np.argsort(ranks))

    def _load_from_state_dict(self, *arguments: object) -> None:
        super()._load_from_state_dict(*arguments)
        self.__dict__.pop("numbering", None)

    @property
    def _keys(self) -> list[DigitKeys]:
        return [cast(DigitKeys, keys) for keys in self.keys]


class PlanePrior(CodeDigits):
    """Networks of one plane: from context to queries, one for each pass; and the keys of each digit.

    Args:
        radices: of the digits, lowest place first.
        inputs: of the network of each pass.
        width: hidden channels.
        key_dim: of queries and keys.
    """

    def __init__(self, radices: Sequence[int], inputs: Sequence[int], width: int, key_dim: int) -> None:
        nn.Module.__init__(self)  # networks come before keys: hashes of models follow the order of their modules
        self.networks = nn.ModuleList(
            leaky_sequential(nn.Linear(count, width), nn.Linear(width, width), nn.Linear(width, key_dim * len(radices)))
            for count in inputs
        )
        self.twins = nn.ModuleList(
            IntegerNetwork(cast(nn.Sequential, network), input_bits=EMBEDDING_BITS, output_bits=QUERY_BITS)
            for network in self.networks
        )
        self._make_digits(radices, key_dim)

    def bits(self, p: int, context: Tensor, codes: Tensor) -> Tensor:
        """Float code length of int64 codes `(n,)` in pass p, summed."""
        return self.code_bits(self.networks[p](context), codes).sum()

    def freeze(self, contexts: Sequence[Tensor]) -> None:
        """Integer twins of all that was trained, calibrated on each pass's integer context."""
        for network, twin, context in zip(self.networks, self.twins, contexts, strict=True):
            cast(IntegerNetwork, twin).convert(cast(nn.Sequential, network), context)
        self.freeze_keys()

    def queries(self, p: int, context: Tensor) -> list[Integers]:
        """Integer queries `(n, key_dim)` of each digit in pass p, from a context in integer-valued float64."""
        found = cast(IntegerNetwork, self.twins[p]).run(context, bounded=True)
        return [query.contiguous().numpy() for query in found.long().chunk(len(self.radices), 1)]
