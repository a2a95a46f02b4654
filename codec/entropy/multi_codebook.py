"""Codes of several levels with several codebooks each: frequencies by count, sharpened by what the coarser level says.

Zhu et al. 2022, "Unified multivariate Gaussian mixture for efficient neural image compression" (McQuic), arXiv:2203.10897: the
last level halves the grid of the one before it, each level has m groups of channels with a codebook each, and static tables by
moving averages of counts serve to code them. The networks are an addition to the paper.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.coding import FrozenTables, tables_from_pmfs
from codec.entropy.base import Frequencies, Known, Layout, Rows, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.exact import IntegerNetwork
from codec.entropy.layers import SummedEmbedding, leaky_sequential
from codec.entropy.neighbour import floored_bits
from codec.entropy.static import precision_for
from codec.entropy.tables import LOGIT_BITS, StoredTables, frequencies_from_logits

PRECISION = 20  # of conditioned tables: at 16 bits rare codes lose half a bit by rounding
UNIFORM = 1 / 128  # part of every table that is shared out evenly: 0.011 bits a code


class MultiCodebookPrior(nn.Module):
    """Planes `(groups, *grid)`, one a level, the coarsest first; each finer level has twice the positions a side.

    Every group has a table by count. With `conditioned`, a network adds to its logarithm what all codes of the coarser
    level at the same place say. A level is one step of the coder, whatever its grid.

    Args:
        codebook_sizes: K of each level, coarsest first; with `conditioned` at most 2^10 but for the first, since a table is
            then made for each code.
        groups: m, the codes at one position.
        conditioned: use networks.
        decay: of the moving averages.
        embedding_dim: of the vectors that stand for codes.
        width: hidden channels of the networks.
    """

    def __init__(
        self,
        codebook_sizes: Sequence[int],
        groups: int,
        *,
        conditioned: bool = True,
        decay: float = 0.9,
        embedding_dim: int = 16,
        width: int = 32,
    ) -> None:
        super().__init__()
        if not codebook_sizes or groups < 1 or not all(2 <= size <= 1 << 18 for size in codebook_sizes):
            raise ValueError(f"need at least 1 group and codebooks of 2..2^18, got {groups} and {list(codebook_sizes)}")
        if conditioned and max([0, *codebook_sizes[1:]]) > 1 << 10:
            raise ValueError(f"conditioned levels hold at most 2^10 codes, got {list(codebook_sizes[1:])}")
        self.codebook_sizes, self.groups, self.decay = tuple(codebook_sizes), groups, decay
        self.tables = nn.ModuleList(StoredTables(_tables(np.ones((groups, size)))) for size in codebook_sizes)
        for level, size in enumerate(codebook_sizes):
            self.register_buffer(f"shares_{level}", torch.zeros(groups, size))  # moving average; zeros before any count
            self.register_buffer(f"logits_{level}", torch.zeros(groups, size, dtype=torch.int32))  # in 1/256
        self.networks = nn.ModuleList(
            leaky_sequential(
                SummedEmbedding([coarser] * groups, embedding_dim),
                nn.Conv2d(embedding_dim, width, 1),
                nn.Conv2d(width, groups * size, 1),
            )
            for coarser, size in pairwise(codebook_sizes)
            if conditioned
        )
        self.twins = nn.ModuleList(
            IntegerNetwork(cast(nn.Sequential, network), input_bits=0, output_bits=LOGIT_BITS)
            for network in self.networks
        )

    def layout(self, grid: tuple[int, ...]) -> Layout:
        """`grid` is that of the finest level, `(rows, columns)` or `(time,)`; coarser sides are rounded up."""
        coarser = [1 << level for level in reversed(range(len(self.codebook_sizes)))]
        return Layout(tuple((self.groups, *(-(-side // step) for side in grid)) for step in coarser))

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of int64 planes `(B, *grid)`, summed; in training it counts them, then takes the float networks."""
        if not self.training:
            return batch_bits(self, planes)
        self.count(planes)
        return self._float_bits(planes)

    @torch.no_grad()
    def count(self, planes: Sequence[Tensor]) -> None:
        """Move the averages towards the shares of the codes in these planes."""
        for level, codes in enumerate(planes):
            shares = self._shares(level)
            hits = F.one_hot(codes.transpose(0, 1).flatten(1), shares.shape[1]).double().mean(1).to(shares)
            shares.copy_(torch.lerp(hits, shares, self.decay) if bool(shares.any()) else hits)

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor]) -> float:
        """Make tables and integer networks; planes `(B, *grid)` are counted if none have been. Returns the cost in percent."""
        if not bool(self._shares(0).any()):
            self.count(planes)
        for level, tables in enumerate(self.tables):
            smooth = self._smooth(level).double().cpu()
            cast(StoredTables, tables).set(_tables(smooth.numpy()))
            self.get_buffer(f"logits_{level}").copy_(torch.round(smooth.log() * (1 << LOGIT_BITS)))
        for coarser, network, twin in zip(planes[:-1], self.networks, self.twins, strict=False):
            cast(IntegerNetwork, twin).convert(cast(nn.Sequential, network), _flat(coarser))
        return percent_more(float(batch_bits(self, planes)), float(self._float_bits(planes)))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Level by level."""
        if not all(layout.sizes):
            return
        for level, (size, grid) in enumerate(zip(layout.sizes, layout.grids, strict=True)):
            tables: Rows | Frequencies
            if level == 0 or not self.networks:
                groups = np.repeat(np.arange(self.groups), size // self.groups)
                tables = Rows(groups, cast(StoredTables, self.tables[level]).tables)
            else:
                coarser = torch.from_numpy(known.codes[level - 1]).reshape(1, *layout.grids[level - 1])
                tables = self._frequencies(level, coarser, grid)
            yield Step(level, np.arange(size), tables)

    def _frequencies(self, level: int, coarser: Tensor, grid: tuple[int, ...]) -> Frequencies:
        """A table for each code of a level, made of the coarser codes `(1, groups, …)`."""
        said = _finer(self._said(self.twins[level - 1], coarser), grid[1:])[0].flatten(2)
        logits = said + self.get_buffer(f"logits_{level}").cpu()[:, :, None]
        return Frequencies(frequencies_from_logits(logits.transpose(1, 2).flatten(0, 1).numpy(), PRECISION), PRECISION)

    def _float_bits(self, planes: Sequence[Tensor]) -> Tensor:
        total = torch.zeros((), device=planes[0].device)
        for level, codes in enumerate(planes):
            order0 = self._smooth(level).log()
            if level == 0 or not self.networks:
                symbols = codes.transpose(0, 1).flatten(1)
                total = total - order0.gather(1, symbols).sum() / math.log(2)
                continue
            said = self._said(self.networks[level - 1], planes[level - 1])
            logits = _finer(said, codes.shape[2:]) + order0.reshape(*order0.shape, *(1,) * (codes.ndim - 2))
            bits = floored_bits(logits.flatten(0, 1), codes.flatten(0, 1), PRECISION)
            total = total + bits.sum()
        return total

    def _said(self, network: nn.Module, coarser: Tensor) -> Tensor:
        """Logits `(B, groups, K, *grid)` that a network, or its twin, makes of coarser codes `(B, groups, *grid)`."""
        return network(_flat(coarser)).reshape(len(coarser), self.groups, -1, *coarser.shape[2:])

    def _shares(self, level: int) -> Tensor:
        return self.get_buffer(f"shares_{level}")

    def _smooth(self, level: int) -> Tensor:
        """Shares `(groups, K)` mixed with a little of the uniform one, so that every code stays codable."""
        return torch.lerp(
            self._shares(level), torch.full_like(self._shares(level), 1 / self.codebook_sizes[level]), UNIFORM
        )


def _flat(codes: Tensor) -> Tensor:
    """`(B, groups, *grid)` to `(B, groups, rows, columns)` for pointwise networks."""
    return codes.reshape(*codes.shape[:2], -1, codes.shape[-1])


def _finer(planes: Tensor, grid: Sequence[int]) -> Tensor:
    """Each position of a grid to the two a side that lie there, cut to `grid`."""
    for axis, side in enumerate(grid, start=planes.ndim - len(grid)):
        planes = planes.repeat_interleave(2, axis).narrow(axis, 0, side)
    return planes


def _tables(weights: np.ndarray) -> FrozenTables:
    """One table for each group from `(groups, K)`."""
    return tables_from_pmfs(list(weights), [0] * len(weights), precision_for(weights.shape[1]))
