"""Static integer tables for tokens: one table a plane, fitted to a count once, stored as integers."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from codec.coding import FrozenTables, quantise_frequencies
from codec.entropy.base import Known, Layout, Rows, Step
from codec.entropy.driver import batch_bits, percent_more

SMOOTHING = 0.5  # added to every count, so that every code stays codable


class StaticTokenPrior(nn.Module):
    """Order-0 probabilities of the codes of each plane; uniform until fitted.

    Args:
        codebook_sizes: alphabet of each plane, at most 2^18.
    """

    def __init__(self, codebook_sizes: Sequence[int]) -> None:
        super().__init__()
        if not codebook_sizes or not all(1 <= size <= 1 << 18 for size in codebook_sizes):
            raise ValueError(f"codebook sizes must lie in 1..2^18, got {list(codebook_sizes)}")
        self.codebook_sizes = tuple(codebook_sizes)
        for plane, size in enumerate(self.codebook_sizes):
            self.register_buffer(f"frequencies_{plane}", _quantised(torch.ones(size)))

    @torch.no_grad()
    def fit(self, counts: Sequence[Tensor]) -> None:
        """Set the tables from hits `(K,)` of each plane."""
        for plane, (size, hits) in enumerate(zip(self.codebook_sizes, counts, strict=True)):
            if hits.shape != (size,):
                raise ValueError(f"plane {plane} has {size} codes, got counts of shape {tuple(hits.shape)}")
            self.get_buffer(f"frequencies_{plane}").copy_(_quantised(hits))
        self.__dict__.pop("tables", None)

    @cached_property
    def tables(self) -> tuple[FrozenTables, ...]:
        """A table for each plane."""
        return tuple(
            FrozenTables(
                self.get_buffer(f"frequencies_{plane}").cpu().numpy().astype(np.uint32),
                np.array([size]),
                np.array([0]),
                precision_for(size),
                has_escape=False,
            )
            for plane, size in enumerate(self.codebook_sizes)
        )

    def layout(self, grid: tuple[int, ...]) -> Layout:
        """Every plane has the same grid."""
        return Layout((grid,) * len(self.codebook_sizes))

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of int64 planes `(B, *grid)`, summed; the tables learn from counts, so there is no gradient."""
        return batch_bits(self, planes)

    def freeze(self, planes: Sequence[Tensor]) -> float:
        """Fit the tables to int64 planes `(B, *grid)`; returns what rounding to integers costs, in percent."""
        counts = [
            torch.bincount(plane.flatten(), minlength=size)
            for plane, size in zip(planes, self.codebook_sizes, strict=True)
        ]
        self.fit(counts)
        shares = [(hits + SMOOTHING) / (hits + SMOOTHING).sum() for hits in counts]
        best = -sum(float((hits * share.log2()).sum()) for hits, share in zip(counts, shares, strict=True))
        return percent_more(float(self.bits(planes)), best)

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Every plane at once, one after the other."""
        for plane, (size, table) in enumerate(zip(layout.sizes, self.tables, strict=True)):
            yield Step(plane, np.arange(size), Rows(np.zeros(size, np.int64), table))

    def _load_from_state_dict(self, *arguments: object) -> None:
        super()._load_from_state_dict(*arguments)
        self.__dict__.pop("tables", None)


def precision_for(codebook_size: int) -> int:
    """Bits of the frequencies: 16, and for large codebooks six more than the code has, so that rounding stays negligible."""
    return min(24, max(16, (codebook_size - 1).bit_length() + 6))


def _quantised(hits: Tensor) -> Tensor:
    """Hits `(K,)` to int32 frequencies, each at least 1."""
    smooth = hits.double().cpu().numpy() + SMOOTHING
    frequencies = quantise_frequencies(smooth / smooth.sum(), precision_for(len(smooth)))
    return torch.from_numpy(frequencies.astype(np.int32))
