"""A latent whose channels each have one learned distribution, the same everywhere, and the integer tables of such.

Ballé, Minnen, Singh, Hwang, Johnston 2018, "Variational image compression with a scale hyperprior", arXiv:1802.01436: the
factorised prior, which also codes the hyper-latent of the others.
"""

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.coding import FrozenTables, quantise_frequencies
from codec.entropy.base import FIXED_POINT, Known, Layout, Rows, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.gaussian import FactorisedDensity
from codec.entropy.latent import CodedLatent
from codec.entropy.rounding import NOISE, Rounding

PRECISION = 16
TAIL = 2.0**-17  # what lies beyond a table's end, to either side, is left to its escape


class ChannelTables(nn.Module):
    """The integer twin of a `FactorisedDensity`: each channel's median, and a table of the whole steps from it.

    Args:
        channels: C.
        reach: no table goes farther from its median than this.
    """

    medians: Tensor  # int64 (C,) in 1/256
    first: Tensor  # int64 (C,): the symbol of each table's first entry
    sizes: Tensor  # int64 (C,): entries of each table, with the escape
    frequencies: Tensor  # int32 (C, 2 reach + 2), 0 beyond a table's entries

    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.channels, self.reach = channels, reach
        frequencies = torch.zeros(channels, 2 * reach + 2, dtype=torch.int32)
        frequencies[:, :2] = 1 << (PRECISION - 1)
        self.register_buffer("medians", torch.zeros(channels, dtype=torch.int64))
        self.register_buffer("first", torch.zeros(channels, dtype=torch.int64))
        self.register_buffer("sizes", torch.full((channels,), 2))
        self.register_buffer("frequencies", frequencies)

    @torch.no_grad()
    def take(self, density: FactorisedDensity, medians: Tensor | None = None) -> None:
        """Make medians and tables from what was learned.

        Args:
            density: of as many channels.
            medians: `(C,)`, from which to count steps; those of the density by default.
        """
        medians = density.quantiles(0.5) if medians is None else medians
        self.medians.copy_(torch.round(medians * FIXED_POINT))
        centres = (self.medians.double() / FIXED_POINT)[:, None]
        steps = torch.arange(-self.reach, self.reach + 1, dtype=torch.float64, device=centres.device)
        masses = copy.deepcopy(density).double().mass(centres + steps).cpu().numpy()
        self.frequencies.zero_()
        for channel, row in enumerate(masses):
            start, pmf = _cut(row)
            self.first[channel], self.sizes[channel] = start - self.reach, len(pmf)
            entries = quantise_frequencies(pmf, PRECISION).astype(np.int32)
            self.frequencies[channel, : len(pmf)] = torch.from_numpy(entries)
        self.__dict__.pop("tables", None)

    @cached_property
    def tables(self) -> FrozenTables:
        """What the coder takes."""
        sizes, first = self.sizes.cpu().numpy(), self.first.cpu().numpy()
        rows = self.frequencies.cpu().numpy().astype(np.uint32)
        flat = np.concatenate([row[:size] for row, size in zip(rows, sizes, strict=True)])
        return FrozenTables(flat, sizes, first, PRECISION, has_escape=True)

    def step(self, plane: int, positions: int) -> Step:
        """How a whole plane of `positions` symbols, channel after channel, is coded."""
        channels = np.repeat(np.arange(self.channels), positions // self.channels)
        means = self.medians.cpu().numpy()[channels]
        return Step(plane, np.arange(positions), Rows(channels, self.tables), means=means)

    def rounded(self, values: Tensor) -> Tensor:
        """`(B, C, *grid)` values to whole steps from the medians, as integers in 1/256."""
        medians = self.medians.view(-1, *[1] * (values.ndim - 2))
        codes = torch.round(values.double() - medians / FIXED_POINT).long()
        return codes * FIXED_POINT + medians

    def _load_from_state_dict(self, *arguments: object) -> None:
        super()._load_from_state_dict(*arguments)
        self.__dict__.pop("tables", None)


class FactorisedLatentPrior(nn.Module):
    """One plane y, of which every channel has a distribution of its own; it is needed whole.

    Args:
        channels: of the latent.
        reach: see `ChannelTables`.
    """

    def __init__(self, channels: int, *, reach: int = 64) -> None:
        super().__init__()
        self.channels = channels
        self.codebook_sizes: tuple[int, ...] = (0,)
        self.droppable_from, self.is_continuous = 1, False
        self.reductions = (1,)
        self.density = FactorisedDensity(channels)
        self.tables = ChannelTables(channels, reach)

    def layout(self, grid: tuple[int, ...], gain: int = 0) -> Layout:
        """`(channels, *grid)`; the gain index is not looked at."""
        return Layout(((self.channels, *grid),), gain)

    def forward(self, n: Tensor, levels: Tensor, rounding: Rounding = NOISE) -> CodedLatent:
        """Code latents `(B, channels, h, w)`; the levels are not looked at, rounding as in `through_density`."""
        with torch.autocast(n.device.type, enabled=False):
            return through_density(self.density, n.float(), rounding)

    @torch.no_grad()
    def analyse(self, n: Tensor, gain: int = 0, offsets: Tensor | None = None) -> list[Tensor]:
        """Latents `(1, channels, h, w)` of one chunk to its plane, float64; gain and offsets are not looked at."""
        return [n[0].double().cpu()]

    def dequantise(self, layout: Layout, known: Known) -> Tensor:
        """Latents float32 `(channels, h, w)` of what has been coded."""
        return dequantised(known.latents[0], layout.grids[0])

    def levels(self, layout: Layout, known: Known) -> Tensor:
        """1 `(h, w)`: there is one rate."""
        return torch.ones(layout.grids[0][1:])

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of planes `(B, *grid)`, summed: differentiable in training, of the integer tables in eval."""
        if not self.training:
            return batch_bits(self, planes)
        return through_density(self.density, planes[0].float(), NOISE).bits.sum()

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor], medians: Tensor | None = None) -> float:
        """Make the tables; returns their cost on continuous planes in percent. `medians`: see `ChannelTables.take`."""
        self.tables.take(self.density, medians)
        expected = self.density.bits(self.tables.rounded(planes[0]).float() / FIXED_POINT)
        return percent_more(float(batch_bits(self, planes)), float(expected))

    def float_twins(self) -> frozenset[str]:
        """None: the density cannot be made from its tables."""
        return frozenset()

    def thaw(self) -> None:
        """Nothing to make."""

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """All at once."""
        if layout.sizes[0]:
            yield self.tables.step(0, layout.sizes[0])


def through_density(density: FactorisedDensity, values: Tensor, rounding: Rounding) -> CodedLatent:
    """Values `(B, C, *grid)` rounded about the medians, with their own gradient, and the bits `(B,)` of that."""
    medians = density.quantiles(0.5).view(-1, *[1] * (values.ndim - 2))
    rounded = rounding(values - medians, lambda residual: density.lengths(residual + medians))
    return CodedLatent(density.lengths(rounded.counted + medians).flatten(1).sum(1), rounded.values + medians)


def dequantised(latents: NDArray[np.int64], grid: tuple[int, ...]) -> Tensor:
    """Flat integers in 1/256 to float32 in a grid."""
    return torch.from_numpy(latents.reshape(grid) / FIXED_POINT).float()


def _cut(masses: NDArray[np.float64]) -> tuple[int, NDArray[np.float64]]:
    """The first entry of a table, and the probabilities of its entries and of its escape, without both far tails."""
    below, above = np.cumsum(masses), np.cumsum(masses[::-1])[::-1]
    inside = np.flatnonzero((below > TAIL) & (above > TAIL))
    start, stop = (inside[0], inside[-1] + 1) if inside.size else (len(masses) // 2, len(masses) // 2 + 1)
    kept = masses[start:stop]
    return int(start), np.append(kept, max(0.0, 1 - kept.sum()))
