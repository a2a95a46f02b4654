"""Tables for residual codes over time: each level given the level before it at the same time.

Small on purpose: it proves droppable planes in independent chunks, chunk-major, as streams of sound need them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.coding import FrozenTables, quantise_frequencies
from codec.entropy.base import Known, Layout, Rows, Step

PRECISION = 16


class ResidualTimePrior(nn.Module):
    """Planes `(frames,)`, one a level, coarse to fine; all but the first may be dropped.

    Args:
        codebook_size: K of every level.
        levels: number of levels.
    """

    frequencies: Tensor  # int64 (levels, K, K): for each level and code of the level before, a table

    def __init__(self, codebook_size: int, levels: int) -> None:
        super().__init__()
        self.codebook_sizes = (codebook_size,) * levels
        self.droppable_from = 1
        self.logits = nn.Parameter(torch.zeros(levels, codebook_size, codebook_size))
        uniform = quantise_frequencies(np.full(codebook_size, 1 / codebook_size), PRECISION).astype(np.int64)
        self.register_buffer("frequencies", torch.from_numpy(uniform).expand_as(self.logits).contiguous())

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of int64 planes `(B, frames)`, summed, by the float tables: differentiable."""
        total, before = self.logits.new_zeros(()), torch.zeros_like(planes[0])
        for level, codes in enumerate(planes):
            logits = self.logits[level][before]
            total = total + F.cross_entropy(logits.movedim(-1, 1), codes, reduction="sum") / np.log(2)
            before = codes
        return total

    @torch.no_grad()
    def convert(self, planes: Sequence[Tensor]) -> None:
        """Freeze the float tables as integers; nothing to calibrate."""
        shares = self.logits.double().softmax(-1).numpy()
        frozen = [[quantise_frequencies(row, PRECISION) for row in level] for level in shares]
        self.frequencies.copy_(torch.from_numpy(np.array(frozen).astype(np.int64)))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Level by level, each with the tables that the level before it chooses."""
        size = self.codebook_sizes[0]
        tables = FrozenTables(
            self.frequencies.numpy().reshape(-1).astype(np.uint32),
            np.full(len(self.codebook_sizes) * size, size),
            np.zeros(len(self.codebook_sizes) * size, np.int64),
            PRECISION,
            has_escape=False,
        )
        for level, count in enumerate(layout.sizes):
            before = known.codes[level - 1] if level else np.zeros(count, np.int64)
            yield Step(level, np.arange(count), Rows(level * size + before, tables))
