"""A lattice prior of video tokens: each frame in a few parallel passes, given the frame before it."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from codec.entropy.base import Known, Layout, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.lattice import LatticeTokenPrior
from codec.entropy.neighbour import as_frames
from codec.entropy.plane_prior import CodeEmbedding
from codec.entropy.schedule import Cell
from codec.entropy.surroundings import BorderedFrames, KnownSymbols

AROUND: tuple[Cell, ...] = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


class VideoTokenPrior(LatticeTokenPrior):
    """As of pictures, of grids `(frames, rows, columns)`: a position also sees the codes about its place one frame earlier.

    The planes of the frame before stand behind those of the frame itself: of Q planes, plane Q + q is plane q one frame earlier.
    What came before the first frame of a chunk is unknown.

    Args:
        digits: radices of each plane's digits, lowest place first; their product is the plane's alphabet.
        renumber: as of `LatticeTokenPrior`.
        period: likewise.
        neighbours: likewise.
        earlier: likewise.
        before: how many codes of the frame before are seen, nearest first, up to 9.
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
        neighbours: int = 12,
        earlier: int | None = None,
        before: int = 9,
        embedding_dim: int = 32,
        width: int = 128,
        key_dim: int = 32,
    ) -> None:
        if not 1 <= before <= len(AROUND):
            raise ValueError(f"1 to {len(AROUND)} codes of the frame before are seen, got {before}")
        self._before = before
        super().__init__(
            digits,
            renumber=renumber,
            period=period,
            neighbours=neighbours,
            earlier=earlier,
            embedding_dim=embedding_dim,
            width=width,
            key_dim=key_dim,
        )

    def _views(self, q: int, looks: tuple[Cell, ...], earlier: int | None) -> list[list[tuple[int, Cell]]]:
        """The same, and the frame before."""
        last = [(len(self.codebook_sizes) + q, look) for look in AROUND[: self._before]]
        return [seen + last for seen in super()._views(q, looks, earlier)]

    def _embedding(self, q: int) -> CodeEmbedding:
        """A plane of the frame before means the same as that of the frame."""
        return super()._embedding(q % len(self.codebook_sizes))

    def _nothing_known(self, frames: BorderedFrames) -> KnownSymbols:
        return KnownSymbols([self._embedding(q).integers for q in range(2 * len(self.codebook_sizes))], frames)

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor]) -> float:
        """Fill the integer networks from the float ones; returns their cost on planes `(B, frames, rows, columns)` in percent."""
        count = len(self.codebook_sizes)
        for q in range(count):
            self._embedding(q).freeze()
        codes = [_framed(plane).cpu() for plane in planes]
        flat = [plane.flatten(0, 1) for plane in codes]
        frames = self._frames(flat[0])
        known, spots = self._nothing_known(frames), [frames.spot(one) for one in self.passes]
        for q, plane in enumerate(codes):
            previous = _previous(plane).flatten()
            for spot in spots:
                known.learn(count + q, spot, previous[spot.flat].numpy())
        for q, seen in enumerate(self._seen):
            contexts = []
            for p, spot in enumerate(spots):
                contexts.append(known.around(spot, seen[p]))
                known.learn(q, spot, flat[q].flatten()[spot.flat].numpy())
            self._plane(q).freeze(contexts)
        return percent_more(float(batch_bits(self, planes)), float(self._float_bits(planes)))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Frame by frame, in each plane by plane, in each pass by pass, in each digit by digit."""
        if len(set(layout.grids)) > 1:
            raise ValueError(f"all planes need the same grid, got {layout.grids}")
        count, rows, columns = as_frames(torch.empty(layout.grids[0], dtype=torch.int8), batched=False).shape
        frames, planes = BorderedFrames((1, rows, columns), self._border), len(self.codebook_sizes)
        spots = [(p, spot) for p, one in enumerate(self.passes) if len((spot := frames.spot(one)).flat)]
        for t in range(count):
            symbols, first = self._nothing_known(frames), t * rows * columns
            for q in range(planes if t else 0):
                for _, spot in spots:
                    symbols.learn(planes + q, spot, known.codes[q][first - rows * columns + spot.flat.numpy()])
            for q, codes in enumerate(known.codes):
                plane, seen = self._plane(q), self._seen[q]
                for p, spot in spots:
                    where = first + spot.flat.numpy()
                    queries = plane.queries(p, symbols.around(spot, seen[p]))
                    for digit in plane.digits(queries, where, codes):
                        yield Step(q, where, digit.tables, None, digit.radix, digit.place, plane.numbering)
                    symbols.learn(q, spot, codes[where])

    def _float_bits(self, planes: Sequence[Tensor]) -> Tensor:
        codes = [_framed(plane) for plane in planes]
        frames = self._frames(codes[0].flatten(0, 1))
        symbols = [frames.place((plane + 1).flatten(0, 1)) for plane in codes]
        symbols += [frames.place((_previous(plane) + 1).flatten(0, 1)) for plane in codes]
        total = torch.zeros((), device=codes[0].device)
        for p, lattice in enumerate(self.passes):
            spot = frames.spot(lattice, codes[0].device)
            if len(spot.flat) == 0:
                continue
            for q, plane in enumerate(codes):
                context = self._context(q, p, symbols, frames, spot)
                total = total + self._plane(q).bits(p, context, plane.flatten()[spot.flat])
        return total


def _framed(plane: Tensor) -> Tensor:
    """`(B, *grid)` as `(B, frames, rows, columns)`."""
    batch = len(plane)
    return as_frames(plane, batched=True).unflatten(0, (batch, -1)) if batch else plane


def _previous(plane: Tensor) -> Tensor:
    """`(B, frames, rows, columns)` one frame later; -1, which is unknown, in the first."""
    return torch.cat([torch.full_like(plane[:, :1], -1), plane[:, :-1]], 1)
