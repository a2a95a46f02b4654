"""A token prior in a few parallel passes over ever denser lattices, each position given its nearest known neighbours.

Passes: schedule.py. A network sees the embedded codes of the neighbours and makes a query for each digit of the code; keys.py
turns queries to logits. Like the masked models of Mentzer et al. 2023 ("M2T", arXiv:2304.07313) it codes a grid in few steps
whatever its size, but with a small network for each pass in place of one transformer, and all in integers.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.entropy.base import Frequencies, Known, Layout, Numbering, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.exact import IntegerNetwork
from codec.entropy.keys import QUERY_BITS, DigitKeys, Integers
from codec.entropy.layers import leaky_sequential
from codec.entropy.neighbour import PRECISION, as_frames, floored_bits
from codec.entropy.numbering import principal_order
from codec.entropy.schedule import Cell, lattice_passes
from codec.entropy.tables import frequencies_from_logits

UNKNOWN = 0  # row of an embedding for what lies outside the chunk; codes follow
EMBEDDING_BITS = 10  # embedded codes are integers in 1/1024, in 16 bits
CROSS: tuple[Cell, ...] = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # what a position sees of earlier planes


class LatticeTokenPrior(nn.Module):
    """Planes of tokens on one grid, coarse positions first; a plane is given all planes before it.

    A code is coded digit by digit, the highest place first: the levels of FSQ (`[8, 5, 5, 5]`), or two halves of a large
    codebook (`[64, 128]` for 8192 codes). Codes of a learned codebook have no order of their own: with `renumber`,
    `start` sorts them by a tree of principal directions, so that the first half says roughly which vector it is.
    A grid is `(time,)`, `(rows, columns)` or `(frames, rows, columns)`; frames do not see each other.

    Args:
        digits: radices of each plane's digits, lowest place first; their product is the plane's alphabet.
        renumber: digits are those of the code's rank in a sorted codebook.
        period: spacing of the first pass, a power of two; 8 makes eight passes.
        neighbours: how many known positions a network sees.
        embedding_dim: of the vectors that stand for codes.
        width: hidden channels.
        key_dim: of queries and keys.
    """

    def __init__(
        self,
        digits: Sequence[Sequence[int]],
        *,
        renumber: bool = False,
        period: int = 8,
        neighbours: int = 20,
        embedding_dim: int = 32,
        width: int = 128,
        key_dim: int = 32,
    ) -> None:
        super().__init__()
        self.codebook_sizes = tuple(math.prod(radices) for radices in digits)
        self.passes = lattice_passes(period, neighbours)
        self._reach = 2 * period
        self.embeddings = nn.ModuleList(CodeEmbedding(size, embedding_dim) for size in self.codebook_sizes)
        self.planes = nn.ModuleList(
            PlanePrior(
                radices, [embedding_dim * len(self._seen(q, p)) for p in range(len(self.passes))], width, key_dim
            )
            for q, radices in enumerate(digits)
        )
        self._renumber = renumber

    @torch.no_grad()
    def start(self, vectors: Sequence[Tensor], counts: Sequence[Tensor]) -> None:
        """Begin where each code is embedded as its vector and the tables are order-0.

        Args:
            vectors: `(K, D)` for each plane, what the codes mean.
            counts: hits `(K,)` for each plane.
        """
        for q, (means, hits) in enumerate(zip(vectors, counts, strict=True)):
            self._embedding(q).start(means.float())
            self._plane(q).start(means if self._renumber else None, hits)

    def layout(self, grid: tuple[int, ...]) -> Layout:
        """Every plane has the same grid."""
        return Layout((grid,) * len(self.codebook_sizes))

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of int64 planes `(B, *grid)`, summed: by the float networks in training, exact in eval."""
        return self._float_bits(planes) if self.training else batch_bits(self, planes)

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor]) -> float:
        """Fill the integer networks from the float ones; returns their cost on these planes in percent."""
        frames = [as_frames(codes, batched=True) for codes in planes]
        symbols = [self._bordered(codes + 1) for codes in frames]
        for q in range(len(frames)):
            self._embedding(q).freeze()
        for q in range(len(frames)):
            spots = [self._spot(p, frames[0]) for p in range(len(self.passes))]
            self._plane(q).freeze([self._context(q, p, symbols, spot, exact=True) for p, spot in enumerate(spots)])
        return percent_more(float(batch_bits(self, planes)), float(self._float_bits(planes)))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Plane by plane, in each pass by pass, in each digit by digit."""
        if len(set(layout.grids)) > 1:
            raise ValueError(f"all planes need the same grid, got {layout.grids}")
        frames = as_frames(torch.zeros(layout.grids[0], dtype=torch.int64), batched=False)
        symbols = [self._bordered(frames + UNKNOWN) for _ in layout.grids]
        for q, codes in enumerate(known.codes):
            numbering = self._plane(q).numbering()
            for p in range(len(self.passes)):
                spot = self._spot(p, frames)
                if len(spot.flat) == 0:
                    continue
                queries = self._plane(q).queries(p, self._context(q, p, symbols, spot, exact=True))
                for digit in self._plane(q).digits(queries, spot.flat.numpy(), codes):
                    yield Step(q, spot.flat.numpy(), digit.tables, None, digit.radix, digit.place, numbering)
                symbols[q].view(-1)[spot.bordered] = 1 + torch.from_numpy(codes)[spot.flat]

    def _float_bits(self, planes: Sequence[Tensor]) -> Tensor:
        frames = [as_frames(codes, batched=True) for codes in planes]
        symbols = [self._bordered(codes + 1) for codes in frames]
        total = torch.zeros((), device=frames[0].device)
        for p in range(len(self.passes)):
            spot = self._spot(p, frames[0])
            for q, codes in enumerate(frames):
                context = self._context(q, p, symbols, spot, exact=False)
                total = total + self._plane(q).bits(p, context, codes.flatten()[spot.flat])
        return total

    def _seen(self, q: int, p: int) -> list[tuple[int, Cell]]:
        """Planes and offsets that pass p of plane q looks at; with nothing known yet, one symbol that is always `UNKNOWN`."""
        own = [(q, offset) for offset in self.passes[p].offsets]
        return [(earlier, offset) for earlier in range(q) for offset in CROSS] + own or [(q, (-self._reach, 0))]

    def _context(self, q: int, p: int, symbols: Sequence[Tensor], spot: "Spot", *, exact: bool) -> Tensor:
        """What pass p of plane q sees: `(n, inputs)`, floats or integers in 2^-EMBEDDING_BITS."""
        seen = self._seen(q, p)
        width = symbols[0].shape[-1]
        columns = []
        for plane in sorted({plane for plane, _ in seen}):
            steps = [row * width + column for other, (row, column) in seen if other == plane]
            found = symbols[plane].flatten()[spot.bordered[:, None] + torch.tensor(steps, device=spot.bordered.device)]
            if not self.passes[p].offsets and plane == q:
                found = torch.full_like(found, UNKNOWN)
            columns.append(self._embedding(plane)(found, exact=exact).flatten(1))
        return torch.cat(columns, 1)

    def _bordered(self, symbols: Tensor) -> Tensor:
        """Symbols `(frames, rows, columns)` with `UNKNOWN` as far around as a network can look."""
        return F.pad(symbols, (self._reach,) * 4, value=UNKNOWN)

    def _spot(self, p: int, frames: Tensor) -> "Spot":
        count, rows, columns = frames.shape
        frame, row, column = (axis.to(frames.device) for axis in self.passes[p].positions((count, rows, columns)))
        height, width = rows + 2 * self._reach, columns + 2 * self._reach
        bordered = (frame * height + row + self._reach) * width + column + self._reach
        return Spot(bordered, (frame * rows + row) * columns + column)

    def _embedding(self, q: int) -> "CodeEmbedding":
        return cast(CodeEmbedding, self.embeddings[q])

    def _plane(self, q: int) -> "PlanePrior":
        return cast(PlanePrior, self.planes[q])


@dataclass(frozen=True)
class Spot:
    """Where a pass codes: int64 positions in the flat frames with their border, and without."""

    bordered: Tensor
    flat: Tensor


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
    """

    integers: Tensor  # int16 (1 + K, dim) in 2^-EMBEDDING_BITS

    def __init__(self, codebook_size: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(1 + codebook_size, dim))
        self.register_buffer("integers", torch.zeros(1 + codebook_size, dim, dtype=torch.int16))

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

    def forward(self, symbols: Tensor, *, exact: bool) -> Tensor:
        """int64 `(...)` to `(..., dim)`: floats, or integers in 2^-EMBEDDING_BITS."""
        return self.integers.cpu()[symbols.cpu()] if exact else F.embedding(symbols, self.weight)


class PlanePrior(nn.Module):
    """Networks of one plane: from context to queries, one for each pass; and the keys of each digit.

    Args:
        radices: of the digits, lowest place first.
        inputs: of the network of each pass.
        width: hidden channels.
        key_dim: of queries and keys.
    """

    ranks: Tensor  # int32 (K,): rank of each code

    def __init__(self, radices: Sequence[int], inputs: Sequence[int], width: int, key_dim: int) -> None:
        super().__init__()
        size = math.prod(radices)
        self._radices, self._places = tuple(radices), [math.prod(radices[:i]) for i in range(len(radices))]
        self._order = tuple(reversed(range(len(radices))))  # highest place first
        self.networks = nn.ModuleList(
            leaky_sequential(nn.Linear(count, width), nn.Linear(width, width), nn.Linear(width, key_dim * len(radices)))
            for count in inputs
        )
        self.twins = nn.ModuleList(
            IntegerNetwork(cast(nn.Sequential, network), input_bits=EMBEDDING_BITS, output_bits=QUERY_BITS)
            for network in self.networks
        )
        self.keys = nn.ModuleList(
            DigitKeys(size // (radix * place), radix, key_dim)
            for radix, place in zip(self._radices, self._places, strict=True)
        )
        self.register_buffer("ranks", torch.arange(size, dtype=torch.int32))

    @torch.no_grad()
    def start(self, vectors: Tensor | None, counts: Tensor) -> None:
        """Number the codes by their vectors `(K, D)`, unless None; start each digit's tables at hits `(K,)`."""
        if vectors is not None:
            self.ranks.copy_(principal_order(vectors.cpu(), self._radices).argsort())
        ranked = torch.zeros(len(counts)).index_add_(0, self.ranks.long().cpu(), counts.float().cpu())
        for keys, place in zip(self._keys, self._places, strict=True):
            keys.start(ranked.view(-1, keys.radix, place).sum(2))

    def bits(self, p: int, context: Tensor, codes: Tensor) -> Tensor:
        """Float code length of int64 codes `(n,)` in pass p, summed."""
        queries, ranks = self.networks[p](context).chunk(len(self._radices), 1), self.ranks.long()[codes]
        total = torch.zeros((), device=codes.device)
        for d in self._order:
            unit = self._radices[d] * self._places[d]
            logits = self._keys[d](queries[d], ranks // unit)
            total = total + floored_bits(logits, ranks % unit // self._places[d]).sum()
        return total

    def freeze(self, contexts: Sequence[Tensor]) -> None:
        """Integer twins of all that was trained, calibrated on each pass's integer context."""
        for network, twin, context in zip(self.networks, self.twins, contexts, strict=True):
            cast(IntegerNetwork, twin).convert(cast(nn.Sequential, network), context)
        for keys in self._keys:
            keys.freeze()

    def queries(self, p: int, context: Tensor) -> list[Integers]:
        """Integer queries `(n, key_dim)` of each digit in pass p."""
        return [query.contiguous().numpy() for query in self.twins[p](context).chunk(len(self._radices), 1)]

    def digits(self, queries: Sequence[Integers], where: Integers, codes: Integers) -> Iterator["DigitTables"]:
        """Tables of each digit at flat positions `where`, the highest first; `codes` fills as the driver goes on."""
        prefix = np.zeros(len(where), np.int64)
        for d in self._order:
            keys, place = self._keys[d], self._places[d]
            frequencies = frequencies_from_logits(keys.logits(queries[d], prefix), PRECISION)
            yield DigitTables(Frequencies(frequencies, PRECISION), keys.radix, place)
            if place > 1:
                prefix = codes[where] // place

    def numbering(self) -> Numbering | None:
        """The order that the digits count in; None where it is that of the codes."""
        ranks = self.ranks.cpu().numpy().astype(np.int64)
        if np.array_equal(ranks, np.arange(len(ranks))):
            return None
        return Numbering(ranks, np.argsort(ranks))

    @property
    def _keys(self) -> list[DigitKeys]:
        return [cast(DigitKeys, keys) for keys in self.keys]
