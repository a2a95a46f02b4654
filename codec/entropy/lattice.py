"""A token prior in a few parallel passes over ever denser lattices, each position given its nearest known neighbours.

Passes: schedule.py. A network sees the embedded codes of the neighbours and makes a query for each digit of the code; keys.py
turns queries to logits. Like the masked models of Mentzer et al. 2023 ("M2T", arXiv:2304.07313) it codes a grid in few steps
whatever its size, but with a small network for each pass in place of one transformer, and all in integers.
"""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from codec.entropy.base import Known, Layout, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.neighbour import as_frames
from codec.entropy.plane_prior import CodeEmbedding, PlanePrior
from codec.entropy.schedule import Cell, lattice_passes
from codec.entropy.surroundings import UNKNOWN, BorderedFrames, KnownSymbols, Spot

CROSS: tuple[Cell, ...] = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # what a position sees of earlier planes
ALONG: tuple[Cell, ...] = ((0, 0), (0, -1), (0, 1), (0, -2), (0, 2))  # the same where rows do not see each other
ALWAYS_SEEN = 2  # first planes, which every later one may look at


class LatticeTokenPrior(nn.Module):
    """Planes of tokens on one grid, coarse positions first; a plane is given planes before it.

    A code is coded digit by digit, the highest place first: the levels of FSQ (`[8, 5, 5, 5]`), or two halves of a large
    codebook (`[64, 128]` for 8192 codes). Codes of a learned codebook have no order of their own: with `renumber`,
    `start` sorts them by a tree of principal directions, so that the first half says roughly which vector it is.
    A grid is `(time,)`, `(rows, columns)` or `(frames, rows, columns)`; frames do not see each other.

    Args:
        digits: radices of each plane's digits, lowest place first; their product is the plane's alphabet.
        renumber: digits are those of the code's rank in a sorted codebook, where there are several.
        axes: 2 for rows and columns; with 1 each row is alone, so that passes and neighbours lie along the last axis, as in
            sound: a period of 2 then takes the even frames of a level first and the odd ones second.
        period: spacing of the first pass, a power of two; 8 makes eight passes, over one axis four.
        neighbours: how many known positions of its own plane a network sees.
        earlier: how many of the planes just before its own it sees, beside the first two; None for all.
        embedding_dim: of the vectors that stand for codes.
        width: hidden channels.
        key_dim: of queries and keys.
    """

    def __init__(
        self,
        digits: Sequence[Sequence[int]],
        *,
        renumber: bool = False,
        axes: int = 2,
        period: int = 8,
        neighbours: int = 20,
        earlier: int | None = None,
        embedding_dim: int = 32,
        width: int = 128,
        key_dim: int = 32,
    ) -> None:
        super().__init__()
        if earlier is not None and earlier < 0:
            raise ValueError(f"a plane sees 0 or more earlier planes beside the first two, got {earlier}")
        self.codebook_sizes = tuple(math.prod(radices) for radices in digits)
        self.passes = lattice_passes(period, neighbours, axes)
        looks = CROSS if axes == 2 else ALONG
        self._seen = [self._views(q, looks, earlier) for q in range(len(digits))]
        self._border = self._farthest()
        self.embeddings = nn.ModuleList(CodeEmbedding(size, embedding_dim) for size in self.codebook_sizes)
        self.planes = nn.ModuleList(
            PlanePrior(radices, [embedding_dim * len(seen) for seen in views], width, key_dim)
            for radices, views in zip(digits, self._seen, strict=True)
        )
        self._renumber = renumber

    @torch.no_grad()
    def start(self, vectors: Sequence[Tensor | None], counts: Sequence[Tensor]) -> None:
        """Begin where each code is embedded as its vector and the tables are order-0.

        Args:
            vectors: `(K, D)` for each plane, what the codes mean; None leaves a plane's embedding and numbering as they are.
            counts: hits `(K,)` for each plane.
        """
        for q, (means, hits) in enumerate(zip(vectors, counts, strict=True)):
            if means is not None:
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
        for q in range(len(self.planes)):
            self._embedding(q).freeze()
        codes = [as_frames(plane, batched=True).cpu() for plane in planes]
        frames = self._frames(codes[0])
        known, spots = self._nothing_known(frames), [frames.spot(one) for one in self.passes]
        for q, seen in enumerate(self._seen):
            contexts = []
            for p, spot in enumerate(spots):
                contexts.append(known.around(spot, seen[p]))
                known.learn(q, spot, codes[q].flatten()[spot.flat].numpy())
            self._plane(q).freeze(contexts)
        return percent_more(float(batch_bits(self, planes)), float(self._float_bits(planes)))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Plane by plane, in each pass by pass, in each digit by digit."""
        if len(set(layout.grids)) > 1:
            raise ValueError(f"all planes need the same grid, got {layout.grids}")
        frames = self._frames(as_frames(torch.empty(layout.grids[0], dtype=torch.int8), batched=False))
        symbols = self._nothing_known(frames)
        spots = [(p, spot) for p, one in enumerate(self.passes) if len((spot := frames.spot(one)).flat)]
        for q, codes in enumerate(known.codes):
            plane, seen = self._plane(q), self._seen[q]
            for p, spot in spots:
                where = spot.flat.numpy()
                queries = plane.queries(p, symbols.around(spot, seen[p]))
                for digit in plane.digits(queries, where, codes):
                    yield Step(q, where, digit.tables, None, digit.radix, digit.place, plane.numbering)
                symbols.learn(q, spot, codes[where])

    def _float_bits(self, planes: Sequence[Tensor]) -> Tensor:
        codes = [as_frames(plane, batched=True) for plane in planes]
        frames = self._frames(codes[0])
        symbols = [frames.place(plane + 1) for plane in codes]
        total = torch.zeros((), device=codes[0].device)
        for p, lattice in enumerate(self.passes):
            spot = frames.spot(lattice, codes[0].device)
            if len(spot.flat) == 0:
                continue
            for q, plane in enumerate(codes):
                context = self._context(q, p, symbols, frames, spot)
                total = total + self._plane(q).bits(p, context, plane.flatten()[spot.flat])
        return total

    def _context(self, q: int, p: int, symbols: Sequence[Tensor], frames: BorderedFrames, spot: Spot) -> Tensor:
        """What pass p of plane q sees: floats `(n, inputs)`."""
        columns = []
        for plane in sorted({plane for plane, _ in self._seen[q][p]}):
            steps = frames.steps([offset for other, offset in self._seen[q][p] if other == plane])
            found = symbols[plane][spot.bordered[:, None] + torch.tensor(steps, device=spot.bordered.device)]
            if not self.passes[p].offsets and plane == q:
                found = torch.full_like(found, UNKNOWN)
            columns.append(self._embedding(plane)(found).flatten(1))
        return torch.cat(columns, 1)

    def _views(self, q: int, looks: tuple[Cell, ...], earlier: int | None) -> list[list[tuple[int, Cell]]]:
        """Planes and offsets that each pass of plane q looks at; with nothing known at all, at itself, which is `UNKNOWN`."""
        first = 0 if earlier is None else q - earlier
        before = [(plane, look) for plane in range(q) if plane < ALWAYS_SEEN or plane >= first for look in looks]
        return [before + [(q, offset) for offset in one.offsets] or [(q, (0, 0))] for one in self.passes]

    def _farthest(self) -> Cell:
        """Rows and columns that any pass looks away."""
        offsets = [offset for views in self._seen for seen in views for _, offset in seen]
        return max(abs(row) for row, _ in offsets), max(abs(column) for _, column in offsets)

    def _frames(self, codes: Tensor) -> BorderedFrames:
        count, rows, columns = codes.shape
        return BorderedFrames((count, rows, columns), self._border)

    def _nothing_known(self, frames: BorderedFrames) -> KnownSymbols:
        return KnownSymbols([self._embedding(q).integers for q in range(len(self.planes))], frames)

    def _embedding(self, q: int) -> CodeEmbedding:
        return cast(CodeEmbedding, self.embeddings[q])

    def _plane(self, q: int) -> PlanePrior:
        return cast(PlanePrior, self.planes[q])
