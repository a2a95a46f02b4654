"""A mean-scale hyperprior with two slices, in integers wherever the decoder must follow.

Minnen, Ballé, Toderici 2018, arXiv:1809.02736 (means and scales from a hyper-latent); Minnen, Singh 2020, arXiv:2007.08739
(the second slice of channels sees the first).
"""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from codec.coding import FrozenTables, tables_from_pmfs
from codec.entropy.base import FIXED_POINT, Known, Layout, Rows, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.exact import IntegerNetwork
from codec.entropy.gaussian import FactorisedDensity, gaussian_bits, lower_bound
from codec.entropy.layers import leaky_sequential
from codec.entropy.tables import LOGIT_BITS, SCALE_FIRST, StoredTables, nearest_row, scale_tables

REACH = 32  # z farther from 0 is escaped


class TwoSliceHyperprior(nn.Module):
    """Planes z, y1, y2: z by one table a channel, then each slice of y by means and scales from all before it.

    y ─analyse─► z ─round─► synthesis ─► features ─┬─ slices[0] ─► mean, scale of y1
                                                   └─ slices[1] ─► mean, scale of y2;  y1 ────┘

    A slice that is missing decodes to its means. z has half the rows and columns of y, rounded up.

    Args:
        channels: of y; the first half of them, rounded down, are y1.
        hyper_channels: of z.
        width: hidden channels.
    """

    def __init__(self, channels: int, hyper_channels: int, width: int = 32) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError(f"two slices need at least 2 channels, got {channels}")
        self.codebook_sizes: tuple[int, ...] = (0, 0, 0)
        self.hyper_channels, self.sizes = hyper_channels, (channels // 2, channels - channels // 2)
        self.analysis = leaky_sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, hyper_channels, 3, stride=2, padding=1)
        )
        self.density = FactorisedDensity(hyper_channels)
        self.synthesis = leaky_sequential(
            nn.ConvTranspose2d(hyper_channels, width, 4, stride=2, padding=1), nn.Conv2d(width, width, 3, padding=1)
        )
        self.slices = nn.ModuleList(
            leaky_sequential(nn.Conv2d(width + seen, width, 3, padding=1), nn.Conv2d(width, 2 * size, 1))
            for seen, size in zip((0, self.sizes[0]), self.sizes, strict=True)
        )
        self.synthesis_twin = IntegerNetwork(self.synthesis, input_bits=0, output_bits=LOGIT_BITS)
        self.slice_twins = nn.ModuleList(
            IntegerNetwork(cast(nn.Sequential, network), input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)
            for network in self.slices
        )
        self.scale_tables = StoredTables(scale_tables())
        self.hyper_tables = StoredTables(_tables_of(np.ones((hyper_channels, 2 * REACH + 2))))

    def layout(self, grid: tuple[int, ...]) -> Layout:
        """Channels first: `(hyper_channels, rows / 2, columns / 2)`, then `(size, rows, columns)` of each slice."""
        rows, columns = grid
        return Layout(((self.hyper_channels, -(-rows // 2), -(-columns // 2)), *((size, *grid) for size in self.sizes)))

    def analyse(self, y: Tensor) -> list[Tensor]:
        """Latents `(B, channels, rows, columns)` to continuous planes `(B, *grid)`: z, y1, y2."""
        z = self.analysis(torch.sign(y) * torch.log1p(y.abs()))
        return [z, *y.split(self.sizes, 1)]

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of planes `(B, *grid)`, summed.

        In training planes are continuous; noise stands in for rounding in the likelihoods, and what the networks see is
        rounded with a straight-through gradient (Minnen and Singh 2020). In eval the latents are rounded and the integer
        tables count.
        """
        return self._float_bits(planes, noise=0.5) if self.training else batch_bits(self, planes)

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor]) -> float:
        """Make tables and integer networks from the float ones; returns their cost on continuous planes in percent."""
        z, *slices = planes
        masses = self.density.mass(torch.arange(-REACH, REACH + 1.0, device=z.device).repeat(self.hyper_channels, 1))
        masses = masses.double().cpu()
        outside = (1 - masses.sum(1, keepdim=True)).clamp_min(0)
        self.hyper_tables.set(_tables_of(torch.cat([masses, outside], 1).numpy()))
        self.synthesis_twin.convert(self.synthesis, torch.round(z))
        context = self._features(torch.round(z), slices[0])
        for network, twin, y in zip(self.slices, self.slice_twins, slices, strict=True):
            cast(IntegerNetwork, twin).convert(cast(nn.Sequential, network), context.to(z.device))
            context = torch.cat([context, torch.round(y * FIXED_POINT).long().cpu()], 1)
        return percent_more(float(batch_bits(self, planes)), float(self._float_bits(planes, noise=0.0)))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """z, y1, y2."""
        if not all(layout.sizes):
            return
        z_grid, *grids = layout.grids
        channels = np.repeat(np.arange(self.hyper_channels), layout.sizes[0] // self.hyper_channels)
        yield Step(0, np.arange(layout.sizes[0]), Rows(channels, self.hyper_tables.tables))
        z = torch.from_numpy(known.codes[0]).reshape(1, *z_grid)
        context = self._features(z, torch.empty(1, *grids[0]))
        for plane, (grid, twin) in enumerate(zip(grids, self.slice_twins, strict=True), start=1):
            means, log2_scales = (part.flatten().numpy() for part in twin(context).chunk(2, 1))
            rows = Rows(nearest_row(log2_scales), self.scale_tables.tables)
            yield Step(plane, np.arange(layout.sizes[plane]), rows, means=means)
            context = torch.cat([context, torch.from_numpy(known.latents[plane]).reshape(1, *grid)], 1)

    def _features(self, z: Tensor, y: Tensor) -> Tensor:
        """Integer features of `(B, hyper_channels, …)` codes on the grid of y."""
        return self.synthesis_twin(z)[..., : y.shape[-2], : y.shape[-1]]

    def _float_bits(self, planes: Sequence[Tensor], *, noise: float) -> Tensor:
        """By the float networks: with uniform noise up to `noise` in the likelihoods, or of rounded latents if it is 0."""
        z, *slices = planes
        total = self.density.bits(_perturbed(z, noise))
        context = self.synthesis(_straight_through(z))[..., : slices[0].shape[-2], : slices[0].shape[-1]]
        for network, y in zip(self.slices, slices, strict=True):
            mean, log2_scale = network(context).chunk(2, 1)
            bounded = lower_bound(log2_scale, SCALE_FIRST / FIXED_POINT)
            total = total + gaussian_bits(_perturbed(y - mean, noise), bounded).sum()
            context = torch.cat([context, _straight_through(y - mean) + mean], 1)
        return total


def _perturbed(values: Tensor, noise: float) -> Tensor:
    return values + noise * (2 * torch.rand_like(values) - 1) if noise else torch.round(values)


def _straight_through(values: Tensor) -> Tensor:
    rounded = torch.round(values.detach())
    return rounded + (values - values.detach())


def _tables_of(masses: np.ndarray) -> FrozenTables:
    """Probabilities `(channels, 2 REACH + 2)` of -REACH … REACH and of all beyond, to tables."""
    return tables_from_pmfs(list(masses), [-REACH] * len(masses), has_escape=True)
