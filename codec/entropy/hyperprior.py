"""A mean-scale hyperprior with two slices, in integers wherever the decoder must follow.

Minnen, Balle, Toderici 2018, arXiv:1809.02736 (means and scales from a hyper-latent); Minnen, Singh 2020, arXiv:2007.08739 (slices).
Small on purpose: it proves `steps()` for latents, whose means are fixed-point integers and whose scales choose frozen tables.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from codec.coding import FrozenTables
from codec.entropy.base import FIXED_POINT, Known, Layout, Rows, Step
from codec.entropy.exact import IntegerNetwork, sequential
from codec.entropy.tables import LOGIT_BITS, SCALE_FIRST, nearest_row, scale_tables

HYPER_STRIDE = 2


class TwoSliceHyperprior(nn.Module):
    """Planes z `(hyper, rows / 2, columns / 2)`, then y1 and y2 `(channels, rows, columns)`; y2 is predicted from z and y1.

    Args:
        channels: of each slice.
        hyper_channels: of z.
        width: hidden channels.
    """

    hyper_rows: Tensor  # int64 (hyper,) table of each channel of z

    def __init__(self, channels: int, hyper_channels: int, width: int = 24) -> None:
        super().__init__()
        self.channels, self.hyper_channels = channels, hyper_channels
        self.hyper_log_scales = nn.Parameter(torch.ones(hyper_channels))  # log2
        self.slices = nn.ModuleList([self._network(s * channels, width) for s in range(2)])
        self.integers = nn.ModuleList(
            IntegerNetwork(network, input_bits=8, output_bits=LOGIT_BITS)  # type: ignore[arg-type]
            for network in self.slices
        )
        for name, value in scale_tables().to_arrays().items():
            self.register_buffer(f"table_{name}", torch.from_numpy(value.astype(np.int64)))
        self.register_buffer("hyper_rows", torch.zeros(hyper_channels, dtype=torch.int64))

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Expected code length of continuous planes `(B, C, rows, columns)`, summed, under uniform noise: differentiable."""
        z, *slices = (plane + torch.rand_like(plane) - 0.5 for plane in planes)
        total = _gaussian_bits(z, torch.zeros_like(z), self.hyper_log_scales[:, None, None].expand_as(z))
        for s, y in enumerate(slices):
            mean, log_scale = self.slices[s](self._context(z, slices[:s])).chunk(2, 1)
            total = total + _gaussian_bits(y, mean, log_scale)
        return total

    @torch.no_grad()
    def convert(self, planes: Sequence[Tensor]) -> None:
        """Fill the integer networks; continuous planes `(B, C, rows, columns)` calibrate them."""
        z, *slices = (torch.round(plane) for plane in planes)
        self.hyper_rows.copy_(torch.from_numpy(nearest_row((self.hyper_log_scales * 256).round().long().numpy())))
        for s, (network, twin) in enumerate(zip(self.slices, self.integers, strict=True)):
            context = self._context(z, slices[:s]) * FIXED_POINT
            cast(IntegerNetwork, twin).convert(cast(nn.Sequential, network), context)

    @torch.no_grad()
    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """z by its channels' tables, then each slice by means and scales from all before it."""
        tables = FrozenTables.from_arrays(
            {
                name.removeprefix("table_"): value.numpy()
                for name, value in self.named_buffers()
                if name.startswith("table_")
            }
        )
        z_grid, *grids = layout.grids
        rows = self.hyper_rows.numpy().repeat(int(np.prod(z_grid[1:])))
        yield Step(0, np.arange(layout.sizes[0]), Rows(rows, tables))
        z = torch.from_numpy(known.codes[0].reshape(1, *z_grid)) * FIXED_POINT
        for s in range(len(grids)):
            before = [torch.from_numpy(known.latents[1 + i].reshape(1, *grids[i])) for i in range(s)]
            mean, log_scale = self.integers[s](self._context(z, before))[0].chunk(2)
            where = np.arange(layout.sizes[1 + s])
            chosen = nearest_row(log_scale.reshape(-1).numpy().astype(np.int64))
            yield Step(1 + s, where, Rows(chosen, tables), means=mean.reshape(-1).numpy().astype(np.int64))

    def _network(self, seen: int, width: int) -> nn.Sequential:
        first = nn.Conv2d(self.hyper_channels + seen, width, 3, padding=1)
        return sequential(first, nn.Conv2d(width, 2 * self.channels, 1))

    def _context(self, z: Tensor, before: Sequence[Tensor]) -> Tensor:
        """z repeated to the grid of y, and the slices before; whatever the fixed point, the same for all."""
        return torch.cat([z.repeat_interleave(HYPER_STRIDE, 2).repeat_interleave(HYPER_STRIDE, 3), *before], 1)


def _gaussian_bits(y: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """-log2 of the mass of N(mean, scale) on a unit interval around y, summed; log_scale is base 2."""
    scale = torch.exp2(log_scale.clamp(SCALE_FIRST / 256, 8))
    upper, lower = ((0.5 - (y - mean).abs()) / scale, (-0.5 - (y - mean).abs()) / scale)
    mass = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    return -torch.log2(mass.clamp_min(1e-9)).sum()
