"""The classic hyperpriors: the scales of a latent, or its means and scales, from a coarse hyper-latent.

Ballé et al. 2018, arXiv:1802.01436 (scales); Minnen, Ballé, Toderici 2018, arXiv:1809.02736 (means and scales). Layers stand in
the order of the reference implementations, so that their weights go over as they are; the decoder's half runs in integers.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from codec.entropy.base import FIXED_POINT, Known, Layout, Rows, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.exact import IntegerNetwork
from codec.entropy.factorised import ChannelTables, dequantised, through_density
from codec.entropy.gaussian import FactorisedDensity
from codec.entropy.latent import CodedLatent
from codec.entropy.likelihood import quantise_gaussian
from codec.entropy.rounding import NOISE, Priced, Rounding
from codec.entropy.tables import LOGIT_BITS, SCALE_FIRST, SIGMA_BITS, StoredTables, row_of_scale, scale_tables
from codec.nn import lower_bound
from codec.nn.classic import doubling, halving

HYPER, LATENT = 0, 1  # planes
REDUCTION = 4  # positions of the latent a side for one of the hyper-latent
LEAST_SCALE = 2.0 ** (SCALE_FIRST / 256)
SLOPE = 0.01  # of the leaky rectifiers in the mean-scale hyperprior


class _Hyperprior(nn.Module):
    """Planes z and y: z by one table a channel, y by Gaussians whose scales, and means if any, follow from z.

    y ─analysis─► z ─round─► synthesis ─► scales (means) of y

    Args:
        analysis: from the latent to z, a quarter as many rows and columns, rounded up.
        synthesis: from z to scales, or to scales and then means.
        channels: of the latent.
        hyper_channels: of z.
        reach: see `ChannelTables`.
    """

    takes_magnitudes: bool
    has_means: bool

    def __init__(
        self, analysis: nn.Sequential, synthesis: nn.Sequential, *, channels: int, hyper_channels: int, reach: int
    ) -> None:
        super().__init__()
        self.channels, self.hyper_channels = channels, hyper_channels
        self.codebook_sizes: tuple[int, ...] = (0, 0)
        self.droppable_from, self.is_continuous = LATENT, False
        self.reductions = (REDUCTION, 1)
        self.analysis, self.synthesis = analysis, synthesis
        self.density = FactorisedDensity(hyper_channels)
        self.hyper_tables = ChannelTables(hyper_channels, reach)
        self.scale_tables = StoredTables(scale_tables())
        self.twin = IntegerNetwork(synthesis, input_bits=LOGIT_BITS, output_bits=SIGMA_BITS)

    def layout(self, grid: tuple[int, ...], gain: int = 0) -> Layout:
        """Channels first, over `(rows, columns)` of the latent; the gain index is not looked at."""
        rows, columns = grid
        coarse = (-(-rows // REDUCTION), -(-columns // REDUCTION))
        return Layout(((self.hyper_channels, *coarse), (self.channels, rows, columns)), gain)

    def forward(self, n: Tensor, levels: Tensor, rounding: Rounding = NOISE) -> CodedLatent:
        """Code latents `(B, channels, h, w)`; the levels are not looked at, rounding as in `quantise_gaussian`."""
        with torch.autocast(n.device.type, enabled=False):
            return self._code(self._hyper_latent(n.float()), n.float(), rounding)

    @torch.no_grad()
    def analyse(self, n: Tensor, gain: int = 0, offsets: Tensor | None = None) -> list[Tensor]:
        """Latents `(1, channels, h, w)` of one chunk to z and y, float64; gain and offsets are not looked at."""
        return [self._hyper_latent(n)[0].double().cpu(), n[0].double().cpu()]

    def dequantise(self, layout: Layout, known: Known) -> Tensor:
        """Latents float32 `(channels, rows, columns)` of what has been coded."""
        return dequantised(known.latents[LATENT], layout.grids[LATENT])

    def levels(self, layout: Layout, known: Known) -> Tensor:
        """1 `(rows, columns)`: there is one rate."""
        return torch.ones(layout.grids[LATENT][1:])

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of planes `(B, *grid)`, summed: differentiable in training, of the integer tables in eval."""
        if not self.training:
            return batch_bits(self, planes)
        return self._code(planes[HYPER].float(), planes[LATENT].float(), NOISE).bits.sum()

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor], medians: Tensor | None = None) -> float:
        """Make the integer part; returns its cost on continuous planes in percent. `medians`: see `ChannelTables.take`."""
        z, y = planes[HYPER].float(), planes[LATENT].float()
        self.hyper_tables.take(self.density, medians)
        rounded = self.hyper_tables.rounded(z)
        self.twin.convert(self.synthesis, rounded)
        known = rounded.float() / FIXED_POINT
        expected = self.density.bits(known) + self._quantise(known, y, Priced()).bits.sum()
        return percent_more(float(batch_bits(self, planes)), float(expected))

    def float_twins(self) -> frozenset[str]:
        """The synthesis; the density has no integers to be made from."""
        return frozenset(f"synthesis.{name}" for name in self.synthesis.state_dict())

    def thaw(self) -> None:
        """Make the float synthesis from the integers, for more training."""
        self.twin.restore(self.synthesis)

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """z, then y."""
        if not all(layout.sizes):
            return
        yield self.hyper_tables.step(HYPER, layout.sizes[HYPER])
        rows, columns = layout.grids[LATENT][1:]
        z = torch.from_numpy(known.latents[HYPER]).reshape(1, *layout.grids[HYPER])
        parameters = self.twin(z)[0, :, :rows, :columns].reshape(-1).numpy()
        scales, means = parameters[: layout.sizes[LATENT]], parameters[layout.sizes[LATENT] :]
        if not self.has_means:
            means = np.zeros_like(scales)
        finer = SIGMA_BITS - LOGIT_BITS
        means = (means + (1 << finer >> 1)) >> finer
        yield Step(LATENT, np.arange(len(scales)), Rows(row_of_scale(scales), self.scale_tables.tables), means=means)

    def _hyper_latent(self, y: Tensor) -> Tensor:
        return self.analysis(y.abs() if self.takes_magnitudes else y)

    def _code(self, z: Tensor, y: Tensor, rounding: Rounding) -> CodedLatent:
        hyper = through_density(self.density, z, rounding)
        latent = self._quantise(hyper.latents, y, rounding)
        return CodedLatent(hyper.bits + latent.bits, latent.latents)

    def _quantise(self, z: Tensor, y: Tensor, rounding: Rounding) -> CodedLatent:
        """y by the float network on dequantised z."""
        parameters = self.synthesis(z)[..., : y.shape[-2], : y.shape[-1]]
        scale, mean = parameters.chunk(2, 1) if self.has_means else (parameters, torch.zeros_like(y))
        coded = quantise_gaussian(y, mean, torch.log2(lower_bound(scale, LEAST_SCALE)), rounding)
        return CodedLatent(coded.bits.flatten(1).sum(1), coded.values)


class ScaleHyperprior(_Hyperprior):
    """Scales from the magnitudes of the latent; means are 0.

    The reference ends its synthesis in a rectifier: the bound on scales, above it, makes that one needless.

    Args:
        channels: of the latent.
        hyper_channels: of the hyper-latent, and hidden.
        reach: see `ChannelTables`.
    """

    takes_magnitudes, has_means = True, False

    def __init__(self, channels: int, *, hyper_channels: int = 128, reach: int = 32) -> None:
        width = hyper_channels
        analysis = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), halving(width, width), nn.ReLU(), halving(width, width)
        )
        synthesis = nn.Sequential(
            doubling(width, width),
            nn.ReLU(),
            doubling(width, width),
            nn.ReLU(),
            nn.Conv2d(width, channels, 3, padding=1),
        )
        super().__init__(analysis, synthesis, channels=channels, hyper_channels=width, reach=reach)


class MeanScaleHyperprior(_Hyperprior):
    """Scales and means.

    Args:
        channels: of the latent.
        hyper_channels: of the hyper-latent.
        reach: see `ChannelTables`.
    """

    takes_magnitudes, has_means = False, True

    def __init__(self, channels: int, *, hyper_channels: int = 128, reach: int = 32) -> None:
        width, wide = hyper_channels, channels * 3 // 2
        analysis = _leaky(nn.Conv2d(channels, width, 3, padding=1), halving(width, width), halving(width, width))
        last = nn.Conv2d(wide, 2 * channels, 3, padding=1)
        synthesis = _leaky(doubling(width, channels), doubling(channels, wide), last)
        super().__init__(analysis, synthesis, channels=channels, hyper_channels=width, reach=reach)


def _leaky(first: nn.Module, second: nn.Module, third: nn.Module) -> nn.Sequential:
    return nn.Sequential(first, nn.LeakyReLU(SLOPE), second, nn.LeakyReLU(SLOPE), third)
