"""Token priors that look at decoded neighbours: checkerboard passes, digit by digit, each by an integer network.

He et al. 2021, "Checkerboard context model for efficient learned image compression", arXiv:2103.15306, for tokens.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.entropy.base import Frequencies, Known, Layout, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.exact import IntegerNetwork
from codec.entropy.layers import SummedEmbedding, leaky_sequential
from codec.entropy.tables import LOGIT_BITS, frequencies_from_logits

PRECISION = 16
UNKNOWN = 0  # what the networks see instead of a digit that is not known yet; known ones are 1 + digit


@dataclass(frozen=True)
class Digit:
    """One coder symbol of a code: `code // place % radix`."""

    plane: int
    radix: int
    place: int


class NeighbourTokenPrior(nn.Module):
    """Planes of tokens on one grid, each plane given all planes before it, in checkerboard passes over the positions.

    Within a pass a code is coded digit by digit, the one with the highest place first, so that the tables stay small: the
    halves of a large codebook (`[32, 32]` for 1024 codes) or the levels of FSQ. Every digit has a network of its own that
    sees all digits known by then around the position. A grid is `(time,)`, `(rows, columns)` or `(frames, rows,
    columns)`; frames do not see each other.

    Args:
        digits: radices of each plane's digits, lowest place first; their product is the plane's alphabet.
        passes: 2 for a checkerboard; 1 leaves a position only earlier planes and digits.
        kernel: rows and columns that a network sees, both odd.
        embedding_dim: of the vectors that stand for digits.
        width: hidden channels.
    """

    def __init__(
        self,
        digits: Sequence[Sequence[int]],
        *,
        passes: int = 2,
        kernel: tuple[int, int] = (3, 3),
        embedding_dim: int = 16,
        width: int = 32,
    ) -> None:
        super().__init__()
        if passes not in (1, 2) or any(side % 2 == 0 for side in kernel):
            raise ValueError(f"passes must be 1 or 2 and kernel sides odd, got {passes} and {tuple(kernel)}")
        self.codebook_sizes = tuple(math.prod(radices) for radices in digits)
        self.digits = [
            Digit(plane, radices[i], math.prod(radices[:i]))
            for plane, radices in enumerate(digits)
            for i in reversed(range(len(radices)))
        ]
        self._order = [
            (parity, d)
            for plane in range(len(digits))
            for parity in range(passes)
            for d, digit in enumerate(self.digits)
            if digit.plane == plane
        ]
        self._passes = passes
        self.networks = nn.ModuleList(self._network(d, kernel, embedding_dim, width) for d in range(len(self.digits)))
        self.twins = nn.ModuleList(
            IntegerNetwork(cast(nn.Sequential, network), input_bits=0, output_bits=LOGIT_BITS)
            for network in self.networks
        )

    def layout(self, grid: tuple[int, ...]) -> Layout:
        """Every plane has the same grid."""
        return Layout((grid,) * len(self.codebook_sizes))

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of int64 planes `(B, *grid)`, summed: by the float networks in training, exact in eval."""
        return self._float_bits(planes) if self.training else batch_bits(self, planes)

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor]) -> float:
        """Fill the integer networks from the float ones; returns their cost on these planes in percent."""
        values = self._split([as_frames(plane, batched=True) for plane in planes])
        for d, (network, twin) in enumerate(zip(self.networks, self.twins, strict=True)):
            contexts = [self._context(values, step) for step in self._order if step[1] == d]
            cast(IntegerNetwork, twin).convert(cast(nn.Sequential, network), torch.cat(contexts))
        return percent_more(float(batch_bits(self, planes)), float(self._float_bits(planes)))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Plane by plane, in each pass by pass, in each digit by digit."""
        grid = layout.grids[0]
        if any(other != grid for other in layout.grids):
            raise ValueError(f"all planes need the same grid, got {layout.grids}")
        for parity, d in self._order:
            planes = [as_frames(torch.from_numpy(codes).reshape(grid), batched=False) for codes in known.codes]
            where = np.flatnonzero((self._parities(planes[0]) == parity).expand(planes[0].shape).numpy())
            if where.size == 0:
                continue
            logits = self.twins[d](self._context(self._split(planes), (parity, d)))
            chosen = logits.movedim(1, -1).flatten(0, -2).numpy()[where]
            digit, tables = self.digits[d], Frequencies(frequencies_from_logits(chosen, PRECISION), PRECISION)
            yield Step(digit.plane, where, tables, radix=digit.radix, place=digit.place)

    def _float_bits(self, planes: Sequence[Tensor]) -> Tensor:
        values = self._split([as_frames(plane, batched=True) for plane in planes])
        total = torch.zeros((), device=values.device)
        for parity, d in self._order:
            logits = self.networks[d](self._context(values, (parity, d)))
            bits = floored_bits(logits, values[:, d])
            total = total + (bits * (self._parities(bits) == parity)).sum()
        return total

    def _split(self, planes: Sequence[Tensor]) -> Tensor:
        """int64 `(frames, rows, columns)` of each plane to the digits `(frames, digits, rows, columns)`."""
        return torch.stack([planes[digit.plane] // digit.place % digit.radix for digit in self.digits], 1)

    def _context(self, values: Tensor, step: tuple[int, int]) -> Tensor:
        """What is known before `step`, as symbols `(frames, visible digits, rows, columns)` of its network."""
        rank = {other: i for i, other in enumerate(self._order)}
        coded = [
            [rank[parity, d] < rank[step] for parity in range(self._passes)] for d in range(self._visible(step[1]))
        ]
        seen = torch.tensor(coded, device=values.device)[:, self._parities(values)]
        return torch.where(seen, 1 + values[:, : len(coded)], UNKNOWN)

    def _parities(self, values: Tensor) -> Tensor:
        """`(rows, columns)`: the pass in which each position is coded."""
        rows, columns = (torch.arange(side, device=values.device) for side in values.shape[-2:])
        return (rows[:, None] + columns) % self._passes

    def _visible(self, d: int) -> int:
        """How many digits, from the first on, may ever be known when digit d is coded: those of its plane and before."""
        return sum(digit.plane <= self.digits[d].plane for digit in self.digits)

    def _network(self, d: int, kernel: tuple[int, int], embedding_dim: int, width: int) -> nn.Sequential:
        rows, columns = kernel
        sizes = [1 + digit.radix for digit in self.digits[: self._visible(d)]]
        return leaky_sequential(
            SummedEmbedding(sizes, embedding_dim),
            nn.Conv2d(embedding_dim, width, (rows, columns), padding=(rows // 2, columns // 2)),
            nn.Conv2d(width, width, 1),
            nn.Conv2d(width, self.digits[d].radix, 1),
        )


def floored_bits(logits: Tensor, symbols: Tensor, precision: int = PRECISION) -> Tensor:
    """-log2 of softmax as integer frequencies will have it: each of the A symbols keeps at least 2^-precision.

    Args:
        logits: `(B, A, *grid)` in nats.
        symbols: int64 `(B, *grid)`.
        precision: bits.
    """
    left = math.log1p(-logits.shape[1] * 2.0**-precision)
    nats = F.cross_entropy(logits, symbols, reduction="none") - left
    floor = torch.full_like(nats, -precision * math.log(2))
    return -torch.logaddexp(-nats, floor) / math.log(2)


def as_frames(codes: Tensor, *, batched: bool) -> Tensor:
    """`(B, *grid)`, or `grid` where not batched, as `(frames, rows, columns)`."""
    grid = codes.shape[1:] if batched else codes.shape
    if len(grid) > 3:
        raise ValueError(f"a grid has at most three axes, got {tuple(grid)}")
    rows, columns = ((1, 1, *grid) if len(grid) < 2 else grid)[-2:]
    return codes.reshape(codes.numel() // max(1, rows * columns), rows, columns)
