"""The hyper-latent: a coarse plane of side information, and the features that integers make of it.

Ballé et al. 2018, arXiv:1802.01436; Minnen, Ballé, Toderici 2018, arXiv:1809.02736. Its amplitude, mean and scale depend on the
quality, so that a coarse picture spends little on it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy.base import FIXED_POINT, Rows, Step
from codec.entropy.exact import IntegerNetwork
from codec.entropy.layers import leaky_sequential
from codec.entropy.levels import LevelTable, scaled
from codec.entropy.likelihood import Quantised, quantise_gaussian
from codec.entropy.rounding import Rounding
from codec.entropy.tables import LOGIT_BITS, StoredTables, nearest_row, scale_tables
from codec.nn import level_features

REDUCTION = 4  # positions of the latent a side for one of the hyper-latent


class HyperPath(nn.Module):
    """Latent to hyper-latent, and hyper-latent to features.

    y ─analysis─► z ─amplitude─► round ─► synthesis ─► features on the grid of y

    Args:
        channels: of the latent.
        hyper_channels: of z, a quarter as many rows and columns, rounded up.
        width: hidden channels.
        features: channels that the passes see.
        knots: of what depends on the quality.
    """

    def __init__(self, channels: int, *, hyper_channels: int, width: int, features: int, knots: int) -> None:
        super().__init__()
        self.hyper_channels, self.features, self.knots = hyper_channels, features, knots
        self.analysis = leaky_sequential(
            nn.Conv2d(channels + knots, width, 1),
            nn.Conv2d(width, width, 5, stride=2, padding=2),
            nn.Conv2d(width, hyper_channels, 5, stride=2, padding=2),
        )
        self.synthesis = leaky_sequential(
            nn.ConvTranspose2d(hyper_channels, width, 4, stride=2, padding=1),
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, 4 * features, 1),
            nn.PixelShuffle(2),
        )
        self.table = LevelTable(3 * hyper_channels, knots)  # log2 amplitude; mean and log2 scale in steps
        self.twin = IntegerNetwork(self.synthesis, input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)
        self.tables = StoredTables(scale_tables())

    def analyse(self, y: Tensor, levels: Tensor) -> Tensor:
        """Scaled latents `(B, channels, h, w)` and levels `(B, 1, h, w)` to continuous z in steps."""
        compressed = torch.sign(y) * torch.log1p(y.abs())
        z = self.analysis(torch.cat([compressed, level_features(levels, self.knots)], 1)).float()
        return z * torch.exp2(self.table(_coarse(levels)).chunk(3, 1)[0])

    def forward(self, z: Tensor, levels: Tensor, rounding: Rounding) -> tuple[Quantised, Tensor]:
        """Continuous z in steps to what its quantisation costs, and the features on the grid of `levels`."""
        amplitude, mean, log2_scale = self.table(_coarse(levels)).chunk(3, 1)
        found = quantise_gaussian(z, mean, log2_scale, rounding)
        features = self.synthesis(found.values * torch.exp2(-amplitude))
        return found, features[..., : levels.shape[-2], : levels.shape[-1]]

    @torch.no_grad()
    def freeze(self, z: Tensor, gains: NDArray[np.int64]) -> NDArray[np.int64]:
        """Integers of what was trained, calibrated on continuous z and gain indices `(B, h, w)`; returns z_hat in 1/256."""
        self.table.freeze()
        means = self._exact_scales(gains)[:, 1]
        latents = np.rint(z.double().cpu().numpy() - means / FIXED_POINT).astype(np.int64) * FIXED_POINT + means
        self.twin.convert(self.synthesis, self._normalised(latents, gains).to(self.table.values.device))
        return latents

    def thaw(self) -> None:
        """Make the float synthesis and table from the integers."""
        self.table.thaw()
        self.twin.restore(self.synthesis)

    def step(self, plane: int, gains: NDArray[np.int64]) -> Step:
        """How z is coded at gain indices `(h, w)`."""
        few = gains[:1, :1] if np.all(gains == gains.flat[0]) else gains
        _, means, log2_scales = self._exact_scales(few[None])[0]
        shape = (self.hyper_channels, *gains.shape)
        index, expected = (np.broadcast_to(found, shape).ravel() for found in (nearest_row(log2_scales), means))
        return Step(plane, np.arange(index.size), Rows(index, self.tables.tables), means=expected)

    def exact_features(
        self, latents: NDArray[np.int64], gains: NDArray[np.int64], grid: tuple[int, int]
    ) -> NDArray[np.float64]:
        """z_hat in 1/256 and gain indices `(B, h, w)` to integer-valued features `(B, features, *grid)` in 1/256."""
        shaped = latents.reshape(len(gains), self.hyper_channels, *gains.shape[1:])
        found = self.twin.run(self._normalised(shaped, gains).double())[..., : grid[0], : grid[1]]
        return found.contiguous().numpy()

    def _exact_scales(self, gains: NDArray[np.int64]) -> NDArray[np.int64]:
        """`(B, 3, hyper_channels, h, w)`."""
        found = self.table.exact(gains.ravel()).reshape(*gains.shape, 3, self.hyper_channels)
        return np.ascontiguousarray(found.transpose(0, 3, 4, 1, 2))

    def _normalised(self, latents: NDArray[np.int64], gains: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(scaled(latents, -self._exact_scales(gains)[:, 0]))


def _coarse(levels: Tensor) -> Tensor:
    """Levels on the grid of z."""
    return levels[..., ::REDUCTION, ::REDUCTION]
